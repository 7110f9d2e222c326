package reporting

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/onrecord/onrecord/pkg/bus"
	"github.com/onrecord/onrecord/pkg/check"
	"github.com/onrecord/onrecord/pkg/fault"
	"github.com/onrecord/onrecord/pkg/sitecode"
	"github.com/onrecord/onrecord/services/reporting/internal/audit"
	"github.com/onrecord/onrecord/services/reporting/internal/fold"
	"github.com/onrecord/onrecord/services/reporting/internal/people"
	"github.com/onrecord/onrecord/services/reporting/internal/poster"
	"github.com/onrecord/onrecord/services/reporting/internal/projector"
	"github.com/onrecord/onrecord/services/reporting/internal/standing"
	"github.com/onrecord/onrecord/services/reporting/internal/store"
)

// What an operator of the machine may do, from the command line or through the
// control socket. Nothing here checks a role: whoever can call it holds the
// data already. Errors are fault errors in words for the operator.

// NewUser is a person to add. Role is administrator, rep or manager. Sites are
// a rep's; none means every site.
type NewUser struct {
	Name     string   `json:"name"`
	Role     string   `json:"role"`
	Sites    []string `json:"sites,omitempty"`
	Password string   `json:"password"`
}

// NewPassword is a password for a person who has an account.
type NewPassword struct {
	Name     string `json:"name"`
	Password string `json:"password"`
}

// User is a person with an account.
type User struct {
	Name      string    `json:"name"`
	Role      string    `json:"role"`
	Sites     []string  `json:"sites,omitempty"` // a rep's; none: every site
	Disabled  bool      `json:"disabled,omitempty"`
	CreatedAt time.Time `json:"created_at"`
}

// NewToken is an API token to make. Role is rep or manager; sites are as a
// rep's.
type NewToken struct {
	Role  string   `json:"role"`
	Sites []string `json:"sites,omitempty"`
	Label string   `json:"label,omitempty"`
}

// CreatedToken is a token as it is shown once: only the secret's hash is kept.
type CreatedToken struct {
	ID     string `json:"id"`
	Secret string `json:"secret"`
}

// Token is an API token without its secret.
type Token struct {
	ID        string    `json:"id"`
	Label     string    `json:"label,omitempty"`
	Role      string    `json:"role"`
	Sites     []string  `json:"sites,omitempty"`
	CreatedAt time.Time `json:"created_at"`
	Revoked   bool      `json:"revoked,omitempty"`
}

// Site is a place where staff work.
type Site struct {
	ID       string `json:"id"`
	Name     string `json:"name"`
	Kind     string `json:"kind,omitempty"`
	Postcode string `json:"postcode,omitempty"`
	Region   string `json:"region,omitempty"`
	Employer string `json:"employer,omitempty"`
	Staff    int    `json:"staff,omitempty"` // 0: not known
	Code     string `json:"code"`            // on its poster
}

// Imported says what an import of sites did.
type Imported struct {
	Added     int `json:"added"`
	Changed   int `json:"changed"`
	Unchanged int `json:"unchanged"`
}

// Verification is what a recount found: a line for everything that is wrong,
// without words anybody wrote.
type Verification struct {
	Incidents   int      `json:"incidents"` // recounted
	Ledgers     int      `json:"ledgers"`   // compared
	Differences []string `json:"differences,omitempty"`
	Unsettled   []string `json:"unsettled,omitempty"` // months that changed all the while and could not be compared
	Waiting     uint64   `json:"waiting,omitempty"`   // events that the stream holds and nobody is there to count; only known of a stopped installation
}

// DeadLetter is a message that nobody could read. It is kept, and where it is
// a report it is counted as not known.
type DeadLetter struct {
	Subject    string    `json:"subject"`
	Cause      string    `json:"cause"`
	At         time.Time `json:"at"`                   // when the stream stored it
	ReplayedAt time.Time `json:"replayed_at,omitzero"` // zero until it was read
}

// Operator is what an operator may do with accounts, tokens, messages that
// nobody could read and the figures, in a running service or in a database
// beside the services that run on it.
type Operator struct {
	people    *people.Service
	store     store.Store
	auditor   *audit.Auditor
	projector *projector.Projector // nil: nothing is replayed
}

// Operating calls do with what an operator may do in a database, beside the
// services that run on it. Only replaying needs the stream: b may be nil.
func (d Database) Operating(ctx context.Context, b *bus.Bus, do func(Operator) error) error {
	return d.with(ctx, func(st store.Store) error {
		o := Operator{people: people.New(people.Config{Store: st, Now: time.Now, Log: d.Log}), store: st, auditor: d.auditor(st)}
		var err error
		if b != nil {
			o.projector, err = d.projector(ctx, st, b)
		}
		if err == nil {
			err = do(o)
		}
		return err
	})
}

// projector is what applies events to a database, beside the services.
func (d Database) projector(ctx context.Context, st store.Store, b *bus.Bus) (*projector.Projector, error) {
	sites, err := st.ListSites(ctx)
	if err != nil {
		return nil, err
	}
	return projector.New(projector.Config{Store: st, Folder: fold.New(), Bus: b, Keyring: d.Keyring, MayErase: true,
		Employers: newDirectory(sites).employer, Log: d.Log, Now: time.Now}), nil
}

// auditor recounts a database's figures, beside the services.
func (d Database) auditor(st store.Store) *audit.Auditor {
	return audit.New(audit.Config{Store: st, Keyring: d.Keyring, Log: d.Log, Now: time.Now})
}

// AddUser adds a person. It returns fault.Invalid with what to mend, a name
// that is taken included.
func (o Operator) AddUser(ctx context.Context, u NewUser) error {
	_, err := o.people.AddUser(ctx, people.NewAccount{Name: u.Name, Role: store.Role(u.Role), Sites: u.Sites, Password: u.Password})
	return err
}

// Users returns everybody with an account, by name.
func (o Operator) Users(ctx context.Context) ([]User, error) {
	found, err := o.people.Users(ctx)
	if err != nil {
		return nil, err
	}
	users := make([]User, len(found))
	for n, u := range found {
		users[n] = User{u.Name, string(u.Role), u.Sites, u.Disabled, u.CreatedAt}
	}
	return users, nil
}

// SetPassword gives a person a new password and ends their sessions. It returns
// fault.NotFound for a name nobody has, fault.Invalid for a password that is
// too weak.
func (o Operator) SetPassword(ctx context.Context, name, password string) error {
	return o.withUser(ctx, name, func(id string) error { return o.people.SetPassword(ctx, id, password) })
}

// DisableUser keeps a person from signing in and ends their sessions. It
// returns fault.NotFound for a name nobody has, and fault.Conflict for the last
// administrator who can sign in.
func (o Operator) DisableUser(ctx context.Context, name string) error {
	return o.withUser(ctx, name, func(id string) error { return o.people.Disable(ctx, id) })
}

// EnableUser lets a disabled person sign in again. It returns fault.NotFound
// for a name nobody has.
func (o Operator) EnableUser(ctx context.Context, name string) error {
	return o.withUser(ctx, name, func(id string) error { return o.people.Enable(ctx, id) })
}

func (o Operator) withUser(ctx context.Context, name string, do func(id string) error) error {
	u, err := o.people.UserByName(ctx, name)
	if err != nil {
		return err
	}
	return do(u.ID)
}

// CreateToken makes an API token. Its secret is in the answer and nowhere else.
// It returns fault.Invalid with what to mend.
func (o Operator) CreateToken(ctx context.Context, t NewToken) (CreatedToken, error) {
	secret, made, err := o.people.CreateToken(ctx, people.NewToken{Role: store.Role(t.Role), Sites: t.Sites, Label: cmp.Or(t.Label, "API token")})
	return CreatedToken{made.ID, secret}, err
}

// Tokens returns every API token, the newest first, revoked ones included.
func (o Operator) Tokens(ctx context.Context) ([]Token, error) {
	found, err := o.people.Tokens(ctx)
	if err != nil {
		return nil, err
	}
	tokens := make([]Token, len(found))
	for n, t := range found {
		tokens[n] = Token{t.ID, t.Label, string(t.Role), t.Sites, t.CreatedAt, t.Revoked}
	}
	return tokens, nil
}

// RevokeToken ends an API token. It returns fault.NotFound for an id none has;
// revoking twice is no error.
func (o Operator) RevokeToken(ctx context.Context, id string) error {
	return o.people.RevokeToken(ctx, id)
}

// SetupToken returns the token of the one-time link /setup?token=… that creates
// the first administrator, or "" once there is an administrator. A new one
// takes the place of the one before.
func (s *Service) SetupToken(ctx context.Context) (string, error) { return s.people.SetupToken(ctx) }

// ImportSites adds and changes sites from a CSV file, all of it or nothing, and
// publishes the directory for intake. It returns fault.Invalid with a field for
// each line to mend.
func (s *Service) ImportSites(ctx context.Context, csv io.Reader) (Imported, error) {
	done, err := s.people.ImportSites(ctx, csv)
	if err != nil {
		return Imported{}, err
	}
	return Imported{done.Added, done.Changed, done.Unchanged}, s.takeUpDirectory(ctx)
}

// Sites returns the site directory by name.
func (s *Service) Sites(ctx context.Context) ([]Site, error) {
	found, err := s.store.ListSites(ctx)
	if err != nil {
		return nil, err
	}
	sites := make([]Site, len(found))
	for n, site := range found {
		sites[n] = s.siteOf(site)
	}
	return sites, nil
}

func (s *Service) siteOf(f store.Site) Site {
	return Site{f.ID, f.Name, f.Kind, f.Postcode, f.Region, f.Employer, f.Staff, sitecode.Of(s.keyring, f.ID, f.CodeGeneration)}
}

// RotateSiteCode puts a new code of a site in force and returns the site, or
// fault.NotFound. Posters with the old one no longer fill in a code that is
// taken.
func (s *Service) RotateSiteCode(ctx context.Context, id string) (Site, error) {
	site, err := s.people.RotateSiteCode(ctx, id)
	if err != nil {
		return Site{}, err
	}
	return s.siteOf(site), s.takeUpDirectory(ctx)
}

// PosterOf asks for the poster of a site, for where the program is reached.
type PosterOf struct{ Site, URL string }

// Poster returns the poster of a site as SVG, or fault.NotFound.
func (s *Service) Poster(ctx context.Context, of PosterOf) (string, error) {
	sites, err := s.Sites(ctx)
	if err != nil {
		return "", err
	}
	n := slices.IndexFunc(sites, func(site Site) bool { return site.ID == of.Site })
	if n < 0 {
		return "", errNoSite
	}
	return poster.SVG(of.URL, of.Site, sites[n].Name, sites[n].Code)
}

var errNoSite = fault.New(fault.NotFound, "not_found", "There is no such site.")

// Verify recounts every figure from the incidents, checks every timeline, and
// names what differs. It repairs nothing and may run beside work under way.
// Progress is called now and then with the incidents done and how many there are.
func (o Operator) Verify(ctx context.Context, progress func(done, total int)) (Verification, error) {
	return verify(ctx, o.auditor, progress)
}

func verify(ctx context.Context, a *audit.Auditor, progress func(done, total int)) (Verification, error) {
	r, err := a.Verify(ctx, progress)
	if err != nil {
		return Verification{}, err
	}
	v := Verification{Incidents: r.Incidents, Ledgers: r.Ledgers, Differences: r.Lines()}
	for _, m := range r.Unsettled {
		v.Unsettled = append(v.Unsettled, m.String())
	}
	return v, nil
}

// Examine runs every check now: the stream against the store, its consumers,
// the store's own integrity, the figures and the timelines. It returns what is
// wrong, nil when nothing is. Progress says what is being looked at.
func (s *Service) Examine(ctx context.Context, progress func(line string)) ([]check.Finding, error) {
	return examine(ctx, s.store, s.standing, s.auditor, progress)
}

// Examine is Service.Examine for a database whose services run apart, beside
// them. It sees the stream and the database as they are now, and neither what
// the services saw before nor the machines that they run on.
func (d Database) Examine(ctx context.Context, b *bus.Bus, progress func(line string)) (found []check.Finding, err error) {
	err = d.with(ctx, func(st store.Store) error {
		p, err := d.projector(ctx, st, b)
		if err != nil {
			return err
		}
		standing := standing.New(standing.Config{Store: st, Bus: b, Beside: true, Log: d.Log, Now: time.Now,
			Apply: func(ctx context.Context, e bus.Delivery) error { return takeIn(ctx, p, e) }})
		found, err = examine(ctx, st, standing, d.auditor(st), progress)
		return err
	})
	return found, err
}

func examine(ctx context.Context, st store.Store, standing *standing.Checker, auditor *audit.Auditor, progress func(line string)) ([]check.Finding, error) {
	if err := st.Check(ctx); err != nil {
		return []check.Finding{check.Alarmf("store_unwritable",
			"Look for a full or failing disk and at the rights of the data directory, then restart. What is received meanwhile stays in the stream.",
			"The store cannot be written: %v.", err)}, nil
	}
	progress("looking at the stream and its consumers")
	_ = standing.Look(ctx) // its error is among the findings
	if err := standing.Walk(ctx, func(done int) { progress(fmt.Sprintf("held %d events of the stream against the store", done)) }); err != nil {
		return nil, err
	}
	found := standing.Findings()
	if i, ok := st.(store.Inspector); ok {
		progress("reading the whole database")
		damage, err := i.Inspect(ctx)
		if err != nil {
			return nil, err
		}
		if len(damage) > 0 {
			found = append(found, check.Alarmf("store_damaged",
				"Stop the program, keep a copy of the data directory as it is, and restore the newest backup.",
				"The database is damaged: %s.", strings.Join(damage, "; ")))
		}
	}
	v, err := verify(ctx, auditor, func(done, total int) { progress(fmt.Sprintf("recounted %d of %d incidents", done, total)) })
	if err != nil {
		return nil, err
	}
	if len(v.Differences) > 0 {
		found = append(found, check.Alarmf("figures_differ",
			"“onrecord verify” names each, of services apart “onrecord admin verify”. Publish nothing from these months until it is clear why.",
			"%d figures, timelines or published months are not what they should be.", len(v.Differences)))
	}
	return found, nil
}

// DeadLetters returns the messages that could not be read, the oldest first,
// those since replayed included.
func (o Operator) DeadLetters(ctx context.Context) ([]DeadLetter, error) {
	found, err := o.store.ListQuarantined(ctx)
	if err != nil {
		return nil, err
	}
	letters := make([]DeadLetter, len(found))
	for n, q := range found {
		letters[n] = DeadLetter{q.Subject, q.Cause, q.At, q.ReplayedAt}
	}
	return letters, nil
}

// ReplayDeadLetter reads one again, as after an upgrade. It returns
// fault.NotFound when there is no such message, fault.Conflict when it still
// cannot be read.
func (o Operator) ReplayDeadLetter(ctx context.Context, subject string) error {
	if o.projector == nil {
		return errors.New("a message is only replayed with the stream at hand")
	}
	return o.projector.Replay(ctx, subject)
}
