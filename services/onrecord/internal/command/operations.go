package command

import (
	"bufio"
	"crypto/rand"
	"encoding/base32"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/onrecord/onrecord/services/onrecord/internal/program"
	"github.com/onrecord/onrecord/services/reporting/reporting"
)

// group is a command that only holds others.
func group(use, short string, subcommands ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{Use: use, Short: short, Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error {
		return errors.Join(cmd.Help(), mistake{fmt.Errorf("say which: %s", strings.Join(names(cmd), ", "))})
	}}
	cmd.AddCommand(subcommands...)
	return cmd
}

func names(cmd *cobra.Command) []string {
	var all []string
	for _, c := range cmd.Commands() {
		all = append(all, c.Name())
	}
	return all
}

// table prints rows under a header.
func (s *shared) table(header []string, rows [][]string) error {
	w := tabwriter.NewWriter(s.env.Stdout, 0, 0, 2, ' ', 0)
	for _, r := range append([][]string{header}, rows...) {
		fmt.Fprintln(w, strings.Join(r, "\t"))
	}
	return w.Flush()
}

func (s *shared) say(format string, args ...any) error {
	_, err := fmt.Fprintf(s.env.Stdout, format+"\n", args...)
	return err
}

func newUser(s *shared, in place) *cobra.Command {
	var u reporting.NewUser
	var generate bool
	add := &cobra.Command{
		Use:   "add NAME",
		Short: "Add a person who may sign in",
		Long: `Adds a person. The password is asked for on the terminal, or read as one line from
standard input, or made and shown once with --generate-password.`,
		Example: in.examples(`user add "Demo Rep" --role rep --site leeds --site york`, `user add "Demo Manager" --role manager --generate-password`),
		Args:    oneArg("the person’s name"),
		RunE: func(cmd *cobra.Command, args []string) error {
			password, err := s.password(generate)
			if err != nil {
				return err
			}
			u.Name, u.Password = args[0], password
			if err := in.call(cmd, program.OpUserAdd, u, nil); err != nil {
				return err
			}
			return s.added(u.Name, password, generate)
		},
	}
	add.Flags().StringVar(&u.Role, "role", "", "what the person may do: administrator, rep or manager")
	add.Flags().StringSliceVar(&u.Sites, "site", nil, "`id` of a site that a rep looks after; may be given again; none means every site")
	add.Flags().BoolVar(&generate, "generate-password", false, "make a password and show it once")
	_ = add.MarkFlagRequired("role")

	password := &cobra.Command{
		Use: "password NAME", Short: "Give a person a new password and end their sessions", Args: oneArg("the person’s name"),
		Long: `Gives a person a new password, also an administrator whom nobody else could let in, and
ends their sessions. The password is asked for on the terminal, or read as one line from
standard input, or made and shown once with --generate-password.`,
		Example: in.examples(`user password "Demo Administrator" --generate-password`),
		RunE: func(cmd *cobra.Command, args []string) error {
			password, err := s.password(generate)
			if err != nil {
				return err
			}
			if err := in.call(cmd, program.OpUserPassword, reporting.NewPassword{Name: args[0], Password: password}, nil); err != nil {
				return err
			}
			return s.added(args[0], password, generate)
		},
	}
	password.Flags().BoolVar(&generate, "generate-password", false, "make a password and show it once")

	list := &cobra.Command{
		Use: "list", Short: "List the people who may sign in", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var users []reporting.User
			if err := in.call(cmd, program.OpUserList, struct{}{}, &users); err != nil {
				return err
			}
			rows := make([][]string, len(users))
			for i, u := range users {
				state := "active"
				if u.Disabled {
					state = "disabled"
				}
				rows[i] = []string{u.Name, u.Role, sitesOf(u.Role, u.Sites), state}
			}
			return s.table([]string{"NAME", "ROLE", "SITES", "STATE"}, rows)
		},
	}
	change := func(use, short, op, done string) *cobra.Command {
		return &cobra.Command{Use: use + " NAME", Short: short, Args: oneArg("the person’s name"), RunE: func(cmd *cobra.Command, args []string) error {
			if err := in.call(cmd, op, args[0], nil); err != nil {
				return err
			}
			return s.say("%s %s", args[0], done)
		}}
	}
	return in.group("user", "Add, list and disable people who may sign in", add, list, password,
		change("disable", "Keep a person from signing in and end their sessions", program.OpUserDisable, "is disabled."),
		change("enable", "Let a disabled person sign in again", program.OpUserEnable, "is enabled."))
}

func sitesOf(role string, sites []string) string {
	switch {
	case len(sites) > 0:
		return strings.Join(sites, ", ")
	case role == "rep":
		return "every site"
	}
	return "–"
}

func (s *shared) added(name, password string, generated bool) error {
	if generated {
		return s.say("%s may sign in with the password %s (shown this once)", name, password)
	}
	return s.say("%s may sign in.", name)
}

// password asks for a password, or makes one.
func (s *shared) password(generate bool) (string, error) {
	if generate {
		return generatePassword(), nil
	}
	if f, ok := s.env.Stdin.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		fmt.Fprint(s.env.Stderr, "Password (at least 12 characters): ")
		b, err := term.ReadPassword(int(f.Fd()))
		fmt.Fprintln(s.env.Stderr)
		return string(b), err
	}
	line, err := bufio.NewReader(s.env.Stdin).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", err
	}
	if line = strings.TrimRight(line, "\r\n"); line == "" {
		return "", mistake{errors.New("no password on standard input: pipe one in, or use --generate-password")}
	}
	return line, nil
}

// generatePassword returns 80 random bits in four groups.
func generatePassword() string {
	var raw [10]byte
	rand.Read(raw[:])
	t := strings.ToLower(base32.StdEncoding.EncodeToString(raw[:]))
	return t[:4] + "-" + t[4:8] + "-" + t[8:12] + "-" + t[12:]
}

func oneArg(what string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) != 1 {
			return mistake{fmt.Errorf("give one argument: %s", what)}
		}
		return nil
	}
}

func newToken(s *shared, in place) *cobra.Command {
	var t reporting.NewToken
	create := &cobra.Command{
		Use: "create", Short: "Make an API token and show it once", Args: cobra.NoArgs,
		Long:    "Makes a token that opens the API as a role does. It alone is printed to standard output, once; only its hash is kept.",
		Example: in.examples("token create --role rep --site leeds --label spreadsheet"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			var made reporting.CreatedToken
			if err := in.call(cmd, program.OpTokenCreate, t, &made); err != nil {
				return err
			}
			return s.say("%s", made.Secret)
		},
	}
	create.Flags().StringVar(&t.Role, "role", "", "what its holder may do: rep or manager")
	create.Flags().StringSliceVar(&t.Sites, "site", nil, "`id` of a site it is for; may be given again; none means every site")
	create.Flags().StringVar(&t.Label, "label", "", "what it is for, shown in the list")
	_ = create.MarkFlagRequired("role")
	list := &cobra.Command{
		Use: "list", Short: "List API tokens", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var tokens []reporting.Token
			if err := in.call(cmd, program.OpTokenList, struct{}{}, &tokens); err != nil {
				return err
			}
			rows := make([][]string, len(tokens))
			for i, t := range tokens {
				state := "active"
				if t.Revoked {
					state = "revoked"
				}
				rows[i] = []string{t.ID, t.Label, t.Role, sitesOf(t.Role, t.Sites), t.CreatedAt.Format(time.DateOnly), state}
			}
			return s.table([]string{"ID", "LABEL", "ROLE", "SITES", "MADE", "STATE"}, rows)
		},
	}
	revoke := &cobra.Command{
		Use: "revoke ID", Short: "End an API token", Args: oneArg("the token’s id, from “" + in.command + " token list”"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := in.call(cmd, program.OpTokenRevoke, args[0], nil); err != nil {
				return err
			}
			return s.say("Token %s is revoked.", args[0])
		},
	}
	return in.group("token", "Make, list and revoke API tokens", create, list, revoke)
}

func newSites(s *shared) *cobra.Command {
	imp := &cobra.Command{
		Use: "import FILE.csv", Short: "Add or change sites from a CSV file",
		Long: `Reads a CSV file with the header id,name,kind,postcode,region,employer,staff in any
order. Sites whose id is already known are changed, others are added, and sites
that are not in the file stay. With a mistake in any line nothing is imported.`,
		Args: oneArg("the CSV file, or - for standard input"),
		RunE: func(cmd *cobra.Command, args []string) error {
			csv, err := s.read(args[0])
			if err != nil {
				return err
			}
			var done reporting.Imported
			if err := s.call(cmd, program.OpSitesImport, csv, &done); err != nil {
				return err
			}
			return s.say("%d sites added, %d changed, %d unchanged.", done.Added, done.Changed, done.Unchanged)
		},
	}
	list := &cobra.Command{
		Use: "list", Short: "List the sites", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var sites []reporting.Site
			if err := s.call(cmd, program.OpSitesList, struct{}{}, &sites); err != nil {
				return err
			}
			rows := make([][]string, len(sites))
			for i, site := range sites {
				rows[i] = []string{site.ID, site.Name, site.Kind, site.Region, site.Employer}
			}
			return s.table([]string{"ID", "NAME", "KIND", "REGION", "EMPLOYER"}, rows)
		},
	}
	return group("sites", "Import and list the places where staff work, and the codes on their posters", imp, list, newSiteCodes(s))
}

func (s *shared) read(path string) (string, error) {
	in := s.env.Stdin
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return "", mistake{err}
		}
		defer f.Close()
		in = f
	}
	const most = 2 << 20
	b, err := io.ReadAll(io.LimitReader(in, most+1))
	if len(b) > most {
		err = errors.New("the file is over 2 MiB")
	}
	return string(b), err
}

const verifyHelp = `Recounts all figures from the incidents themselves, compares them with the stored
ones, and checks that no timeline entry was changed or removed and that every edition
is as it was published. Names whatever differs, and months that changed too fast to be
compared; exits with 1 for either. It repairs nothing, and may run beside the work
under way. For services that run apart there is “onrecord admin verify”.`

func newVerify(s *shared, in place) *cobra.Command {
	cmd := &cobra.Command{
		Use: "verify", Short: "Recount every figure from the incidents, check every timeline and every edition",
		Long:    verifyHelp,
		Example: in.examples("verify"),
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var r reporting.Verification
			if err := in.call(cmd, program.OpVerify, struct{}{}, &r); err != nil {
				return err
			}
			return s.sayVerification(r)
		},
	}
	in.addTo(cmd)
	return cmd
}

// sayVerification prints what a recount found. It is only well when all of it
// was compared and agrees.
func (s *shared) sayVerification(r reporting.Verification) error {
	lines := slices.Clone(r.Differences)
	for _, month := range r.Unsettled {
		lines = append(lines, month+" changed all the while and could not be compared")
	}
	lines = append(lines, fmt.Sprintf("%d incidents recounted in %d ledgers.", r.Incidents, r.Ledgers))
	if r.Waiting > 0 {
		lines = append(lines, fmt.Sprintf("%d events that were received are on disk and in no figure yet: “onrecord serve” takes them in.", r.Waiting))
	}
	if err := s.say("%s", strings.Join(lines, "\n")); err != nil {
		return err
	}
	switch {
	case len(r.Differences) > 0:
		return fmt.Errorf("%d differences, named above", len(r.Differences))
	case len(r.Unsettled) > 0:
		return fmt.Errorf("%d months could not be compared: run it again when less is filed", len(r.Unsettled))
	}
	return s.say("Every figure agrees with the incidents, and every timeline is whole.")
}

// newDeadLetters lists in one place and replays in another: only replaying
// may need the stream.
func newDeadLetters(s *shared, in, replaying place) *cobra.Command {
	list := &cobra.Command{
		Use: "list", Short: "List messages that could not be read", Args: cobra.NoArgs,
		Example: in.examples("dead-letters list"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			var letters []reporting.DeadLetter
			if err := in.call(cmd, program.OpDeadLetters, struct{}{}, &letters); err != nil {
				return err
			}
			if len(letters) == 0 {
				return s.say("There are none.")
			}
			rows := make([][]string, len(letters))
			for i, l := range letters {
				replayed := "–"
				if !l.ReplayedAt.IsZero() {
					replayed = l.ReplayedAt.Format(time.RFC3339)
				}
				rows[i] = []string{l.Subject, l.At.Format(time.RFC3339), l.Cause, replayed}
			}
			return s.table([]string{"SUBJECT", "STORED", "CAUSE", "REPLAYED"}, rows)
		},
	}
	replay := &cobra.Command{
		Use: "replay SUBJECT", Short: "Try to read one again, after an upgrade say", Args: oneArg("its subject, from “" + in.command + " dead-letters list”"),
		Example: replaying.examples("dead-letters replay SUBJECT"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := replaying.call(cmd, program.OpDeadLetterReplay, args[0], nil); err != nil {
				return err
			}
			return s.say("It was read this time, and is on record.")
		},
	}
	in.addTo(list)
	replaying.addTo(replay)
	return group("dead-letters", "List and replay messages that could not be read", list, replay)
}

func newEvents(s *shared) *cobra.Command {
	var t program.Tail
	tail := &cobra.Command{
		Use: "tail", Short: "Print the events of the stream as JSON lines, without anybody’s words", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return s.callWith(cmd.Context(), program.OpEventsTail, t, nil, func(event string) { fmt.Fprintln(s.env.Stdout, event) })
		},
	}
	tail.Flags().IntVarP(&t.Last, "last", "n", 10, "how many of the events already there; 0 for all")
	tail.Flags().BoolVarP(&t.Follow, "follow", "f", false, "wait for more")
	return group("events", "Look at the events of the stream", tail)
}
