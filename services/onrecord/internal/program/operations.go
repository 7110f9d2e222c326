package program

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"strings"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/onrecord/onrecord/pkg/bus"
	"github.com/onrecord/onrecord/pkg/fault"
	onrecordv1 "github.com/onrecord/onrecord/proto/onrecord/v1"
	"github.com/onrecord/onrecord/services/onrecord/internal/control"
	"github.com/onrecord/onrecord/services/reporting/reporting"
)

// Names of the operations.
const (
	OpUserAdd          = "user.add"
	OpUserList         = "user.list"
	OpUserPassword     = "user.password"
	OpUserDisable      = "user.disable"
	OpUserEnable       = "user.enable"
	OpTokenCreate      = "token.create"
	OpTokenList        = "token.list"
	OpTokenRevoke      = "token.revoke"
	OpSitesImport      = "sites.import"
	OpSitesList        = "sites.list"
	OpSitesRotate      = "sites.rotate"
	OpPoster           = "poster"
	OpVerify           = "verify"
	OpDoctor           = "doctor"
	OpBackup           = "backup"
	OpEraseFind        = "erase.find"
	OpErase            = "erase"
	OpDeadLetters      = "dead-letters.list"
	OpDeadLetterReplay = "dead-letters.replay"
	OpEventsTail       = "events.tail"
	OpExport           = "export"
	OpCorrections      = "corrections"
	OpReread           = "reread"
	OpChecks           = "checks"
)

// Tail says from which event on to print, and whether to wait for more.
type Tail struct {
	Last   int // how many of the events already there; 0 for all
	Follow bool
}

// Operations returns what an operator may do: the same table serves the
// control socket and a stopped installation.
func (p *Program) Operations() control.Operations {
	r := p.reporting
	all := control.Operations{
		OpSitesImport: op(func(ctx context.Context, csv string, _ func(string)) (any, error) {
			return r.ImportSites(ctx, strings.NewReader(csv))
		}),
		OpSitesList:   op(func(ctx context.Context, _ struct{}, _ func(string)) (any, error) { return r.Sites(ctx) }),
		OpSitesRotate: op(func(ctx context.Context, id string, _ func(string)) (any, error) { return r.RotateSiteCode(ctx, id) }),
		OpPoster: op(func(ctx context.Context, of reporting.PosterOf, _ func(string)) (any, error) {
			return r.Poster(ctx, of)
		}),
		OpDoctor:     op(p.examine),
		OpBackup:     op(p.backUp),
		OpEraseFind:  op(p.findErasable),
		OpErase:      op(p.erase),
		OpEventsTail: op(p.tail),
		OpExport:     op(p.export),

		OpCorrections: op(p.corrections),
		OpReread:      op(p.reread),
	}
	maps.Copy(all, operations(r.Operator))
	all[OpVerify] = op(p.verify)
	return all
}

// operations are those that are the same on one machine and beside services
// that run apart.
func operations(o reporting.Operator) control.Operations {
	return control.Operations{
		OpUserAdd: op(func(ctx context.Context, a reporting.NewUser, _ func(string)) (any, error) {
			return nil, o.AddUser(ctx, a)
		}),
		OpUserList: op(func(ctx context.Context, _ struct{}, _ func(string)) (any, error) { return o.Users(ctx) }),
		OpUserPassword: op(func(ctx context.Context, a reporting.NewPassword, _ func(string)) (any, error) {
			return nil, o.SetPassword(ctx, a.Name, a.Password)
		}),
		OpUserDisable: op(func(ctx context.Context, name string, _ func(string)) (any, error) {
			return nil, o.DisableUser(ctx, name)
		}),
		OpUserEnable: op(func(ctx context.Context, name string, _ func(string)) (any, error) {
			return nil, o.EnableUser(ctx, name)
		}),
		OpTokenCreate: op(func(ctx context.Context, a reporting.NewToken, _ func(string)) (any, error) {
			return o.CreateToken(ctx, a)
		}),
		OpTokenList:   op(func(ctx context.Context, _ struct{}, _ func(string)) (any, error) { return o.Tokens(ctx) }),
		OpTokenRevoke: op(func(ctx context.Context, id string, _ func(string)) (any, error) { return nil, o.RevokeToken(ctx, id) }),
		OpDeadLetters: op(func(ctx context.Context, _ struct{}, _ func(string)) (any, error) { return o.DeadLetters(ctx) }),
		OpDeadLetterReplay: op(func(ctx context.Context, subject string, _ func(string)) (any, error) {
			return nil, o.ReplayDeadLetter(ctx, subject)
		}),
		OpVerify: op(func(ctx context.Context, _ struct{}, progress func(string)) (any, error) {
			return recount(ctx, o, progress)
		}),
		OpChecks: op(func(ctx context.Context, _ struct{}, _ func(string)) (any, error) { return o.Checks(ctx) }),
	}
}

// Call runs an operation in the services' database, beside them, as
// Operations.Call does. Only replaying a dead letter needs the bus.
func (a Apart) Call(ctx context.Context, name string, args, result any, progress func(string)) error {
	return a.Database.Operating(ctx, a.Bus, func(o reporting.Operator) error {
		return operations(o).Call(ctx, name, args, result, progress)
	})
}

func recount(ctx context.Context, o reporting.Operator, progress func(string)) (reporting.Verification, error) {
	return o.Verify(ctx, func(done, total int) { progress(fmt.Sprintf("recounted %d of %d incidents", done, total)) })
}

// verify recounts, and says of a stopped installation what is in no figure yet.
func (p *Program) verify(ctx context.Context, _ struct{}, progress func(string)) (any, error) {
	v, err := recount(ctx, p.reporting.Operator, progress)
	if err == nil {
		v.Waiting, err = p.waiting(ctx)
	}
	return v, err
}

// waiting returns how many events the stream holds that reporting has not taken
// in, of a stopped installation; where the services run they are on their way.
func (p *Program) waiting(ctx context.Context) (uint64, error) {
	if p.working.Load() {
		return 0, nil
	}
	h, err := p.bus.Health(ctx)
	if err != nil {
		return 0, err
	}
	var n uint64
	for _, c := range h.Consumers {
		if c.Name == bus.ConsumerReporting {
			n = c.Pending + uint64(c.Unacked)
		}
	}
	return n, nil
}

// op decodes an operation's arguments.
func op[A any](do func(ctx context.Context, args A, progress func(string)) (any, error)) control.Operation {
	return func(ctx context.Context, raw json.RawMessage, progress func(string)) (any, error) {
		var args A
		if err := json.Unmarshal(raw, &args); err != nil {
			return nil, fault.New(fault.Malformed, "malformed", "The operation’s arguments could not be read.").Because(err)
		}
		return do(ctx, args, progress)
	}
}

// tail sends events as JSON for people. Sealed words stay sealed, and are left
// out with the keys and hashes: nobody can read them here.
func (p *Program) tail(ctx context.Context, t Tail, send func(string)) (any, error) {
	return nil, p.bus.Tail(ctx, t.Last, t.Follow, func(e bus.Stored) error {
		line, err := eventLine(e)
		if err != nil {
			line = fmt.Sprintf(`{"seq":%d,"unreadable":true}`, e.Seq)
		}
		send(line)
		return nil
	})
}

func eventLine(e bus.Stored) (string, error) {
	var env onrecordv1.Envelope
	if err := proto.Unmarshal(e.Data, &env); err != nil {
		return "", err
	}
	switch ev := env.Event.(type) {
	case *onrecordv1.Envelope_ReportFiled:
		f := ev.ReportFiled
		f.ReceiptHash, f.Digest, f.WrappedKey, f.SealedWords = nil, nil, nil, nil
		hidePhotos(f.GetPhotos())
	case *onrecordv1.Envelope_ReportAdded:
		ev.ReportAdded.Digest, ev.ReportAdded.WrappedKey, ev.ReportAdded.SealedWords = nil, nil, nil
		hidePhotos(ev.ReportAdded.GetPhotos())
	}
	line, err := protojson.Marshal(&env)
	return string(line), err
}

// hidePhotos leaves how many photos there are and how large, and nothing to
// know a picture by.
func hidePhotos(photos []*onrecordv1.Photo) {
	for _, p := range photos {
		p.Object, p.Sha256 = "", nil
		if p.GetOriginal() != nil {
			p.Original = &onrecordv1.Photo{Size: p.GetOriginal().GetSize()}
		}
	}
}

// ExportNote begins a line of OpExport that is for the operator and no part of
// the export.
const ExportNote = "# "

// exportChunk is how many bytes of an export are sent together at least.
const exportChunk = 256 << 10

// export sends the lines of an export, once everything that was received is in
// the store.
func (p *Program) export(ctx context.Context, _ struct{}, send func(string)) (any, error) {
	var moved reporting.Moved
	err := p.atWork(ctx, func(ctx context.Context) error {
		err := p.bus.AwaitHandled(ctx, func(left uint64) {
			send(fmt.Sprintf(ExportNote+"waiting until %d events of the stream are stored", left))
		})
		if err != nil {
			return err
		}
		moved, err = p.exportLines(ctx, send)
		return err
	})
	return moved, err
}

func (p *Program) exportLines(ctx context.Context, send func(string)) (reporting.Moved, error) {
	var lines strings.Builder
	flush := func() {
		send(strings.TrimSuffix(lines.String(), "\n"))
		lines.Reset()
	}
	moved, err := p.reporting.Export(ctx, func(line []byte) error {
		if lines.Write(line); lines.Len() >= exportChunk {
			flush()
		}
		return ctx.Err()
	})
	if err == nil {
		flush()
	}
	return moved, err
}
