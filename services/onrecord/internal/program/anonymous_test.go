package program

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/onrecord/onrecord/pkg/run/runtest"
	onrecordv1 "github.com/onrecord/onrecord/proto/onrecord/v1"
	"github.com/onrecord/onrecord/services/reporting/reporting"
)

// Of whoever reports without a name nothing is kept that could tell them: not
// where they asked from, not with what, and not that they were signed in. Here
// everything is looked through with the master key in hand: the words under
// seal, every message of every stream, the incident as a rep sees it, the log,
// and the files.
func TestNothingIsKeptOfWhoStaysAnonymous(t *testing.T) {
	const address, agent, name, password = "203.0.113.77", "zorblax-agent/1.0", "zorblax-person", "a demo password that is long"
	dir := filepath.Join(t.TempDir(), "data")
	logs := &runtest.Output{}
	p, err := Open(t.Context(), Config{DataDir: dir, MaxStore: 256 << 20, Threshold: 5, TrustedProxies: []string{"127.0.0.1"}, Now: time.Now,
		Log: slog.New(slog.NewTextHandler(logs, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	if err != nil {
		t.Fatal(err)
	}
	do := func(op string, args, result any) {
		t.Helper()
		if err := p.Operations().Call(t.Context(), op, args, result, func(string) {}); err != nil {
			t.Fatal(err)
		}
	}
	var token reporting.CreatedToken
	do(OpUserAdd, reporting.NewUser{Name: name, Role: "rep", Password: password}, nil)
	do(OpTokenCreate, reporting.NewToken{Role: "rep"}, &token)
	var lc net.ListenConfig
	ln, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- p.Run(ctx, ln) }()
	if err := p.WaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	var session []string
	ask := func(method, path, contentType, body string, headers ...string) (*http.Response, string) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, "http://"+ln.Addr().String()+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		headers = append(append([]string{"Content-Type", contentType, "User-Agent", agent, "X-Forwarded-For", address}, session...), headers...)
		for n := 0; n < len(headers); n += 2 {
			req.Header.Set(headers[n], headers[n+1])
		}
		res, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		var text strings.Builder
		if err := res.Write(&text); err != nil {
			t.Fatal(err)
		}
		_, content, _ := strings.Cut(text.String(), "\r\n\r\n")
		return res, content
	}
	res, _ := ask("POST", "/sign-in/", "application/x-www-form-urlencoded", url.Values{"name": {name}, "password": {password}}.Encode())
	for _, c := range res.Cookies() {
		session = append(session, "Cookie", c.Name+"="+c.Value)
	}
	if len(session) == 0 {
		t.Fatalf("nobody is signed in: %d", res.StatusCode)
	}
	before := len(logs.String()) // of which signing in is told

	id := uuid.Must(uuid.NewV7()).String()
	form := url.Values{"id": {id}, "form_version": {"report/2"}, "kind": {"abuse"}, "site": {"unlisted"}, "site_name": {"Demo desk"}, "when": {"now"}, "narrative": {"Demo words."}, "contact": {"anonymous"}}
	res, body := ask("POST", "/report/", "application/x-www-form-urlencoded", form.Encode(), "Accept", "application/json")
	var filed struct{ Receipt string }
	if err := json.Unmarshal([]byte(body), &filed); err != nil || res.StatusCode != http.StatusCreated {
		t.Fatalf("%d %s %v", res.StatusCode, body, err)
	}
	var incident string
	deadline := time.Now().Add(20 * time.Second)
	for tick := time.NewTicker(10 * time.Millisecond); incident == ""; <-tick.C {
		_, list := ask("GET", "/api/v1/incidents", "", "", "Authorization", "Bearer "+token.Secret)
		var l struct{ Incidents []struct{ ID string } }
		if err := json.Unmarshal([]byte(list), &l); err != nil || time.Now().After(deadline) {
			t.Fatalf("%s %v", list, err)
		}
		for _, i := range l.Incidents {
			incident = i.ID
		}
	}
	addition := fmt.Sprintf(`{"receipt":%q,"addition":{"id":%q,"what":"words","text":"Demo addition."}}`, filed.Receipt, uuid.Must(uuid.NewV7()))
	if res, body := ask("POST", "/api/v1/follow-up", "application/json", addition); res.StatusCode != http.StatusOK {
		t.Fatalf("%d %s", res.StatusCode, body)
	}
	var refused int
	for range 20 { // the address was seen: it alone is asked to wait
		if res, _ := ask("POST", "/api/v1/follow-up", "application/json", addition); res.StatusCode == http.StatusTooManyRequests {
			refused++
		}
	}
	if res, _ := ask("POST", "/api/v1/follow-up", "application/json", addition, "X-Forwarded-For", "203.0.113.1"); refused == 0 || res.StatusCode == http.StatusTooManyRequests {
		t.Fatalf("addresses are not told apart: %d refused, and %d", refused, res.StatusCode)
	}

	places := map[string]string{}
	events := 0
	js, err := jetstream.New(p.conn)
	if err != nil {
		t.Fatal(err)
	}
	// The machine reads when it comes to it: its event is waited for.
	for tick := time.NewTicker(10 * time.Millisecond); events < 3 && time.Now().Before(deadline); <-tick.C {
		events = 0
		for name := range js.StreamNames(t.Context()).Name() {
			stream, err := js.Stream(t.Context(), name)
			if err != nil {
				t.Fatal(err)
			}
			for seq := max(1, stream.CachedInfo().State.FirstSeq); seq <= stream.CachedInfo().State.LastSeq; seq++ {
				m, err := stream.GetMsg(t.Context(), seq)
				if errors.Is(err, jetstream.ErrMsgNotFound) {
					continue // it was replaced
				}
				if err != nil {
					t.Fatal(err)
				}
				where := fmt.Sprintf("the stream %s at %d", name, seq)
				places[where] = m.Subject + fmt.Sprint(m.Header) + string(m.Data)
				var env onrecordv1.Envelope
				if proto.Unmarshal(m.Data, &env) == nil && env.GetType() != "" {
					events++
					places[where] += protojson.Format(&env) + p.unsealed(t, &env)
				}
			}
		}
	}
	if events < 3 || !strings.Contains(fmt.Sprint(places), "Demo words.") || !strings.Contains(fmt.Sprint(places), "Demo addition.") {
		t.Fatalf("%d events, or their words were not opened", events)
	}
	_, places["the incident"] = ask("GET", "/api/v1/incidents/"+incident, "", "", "Authorization", "Bearer "+token.Secret)
	if !strings.Contains(places["the incident"], `"contact_choice":"anonymous"`) {
		t.Errorf("the incident: %s", places["the incident"])
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	places["the log"] = logs.String()[before:]
	for place, text := range places {
		if strings.Contains(text, name) {
			t.Errorf("%s holds the name of whoever was signed in: %.300s", place, text)
		}
	}
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(path)
		places["the file "+d.Name()] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for place, text := range places {
		for _, trace := range []string{address, "203.0.113", agent} {
			if strings.Contains(text, trace) {
				t.Errorf("%s holds %q", place, trace)
			}
		}
	}
}

// unsealed returns what stands under seal in an event.
func (p *Program) unsealed(t *testing.T, env *onrecordv1.Envelope) string {
	t.Helper()
	var wrapped, sealed []byte
	var place []string
	var words proto.Message
	switch f, a := env.GetReportFiled(), env.GetReportAdded(); {
	case f != nil:
		wrapped, sealed, place, words = f.GetWrappedKey(), f.GetSealedWords(), []string{f.GetReportId(), "words"}, &onrecordv1.ReportWords{}
	case a != nil:
		wrapped, sealed, place, words = a.GetWrappedKey(), a.GetSealedWords(), []string{a.GetReportId(), a.GetAdditionId(), "added"}, &onrecordv1.AddedWords{}
	default:
		return ""
	}
	key, err := p.ring.Unwrap(wrapped)
	if err != nil {
		t.Fatal(err)
	}
	plain, err := key.Open(sealed, place...)
	if err == nil {
		err = proto.Unmarshal(plain, words)
	}
	if err != nil {
		t.Fatal(err)
	}
	return protojson.Format(words)
}
