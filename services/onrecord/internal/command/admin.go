package command

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/onrecord/onrecord/pkg/bus"
	"github.com/onrecord/onrecord/pkg/bus/remote"
)

// newAdmin holds what an administrator does to the servers that the three
// services run on when they are processes of their own.
func newAdmin(s *shared) *cobra.Command {
	streams := group("streams", "The stream of reports on NATS servers of their own", newStreamsApply(s))
	return group("admin", "Look after intake, classifier and reporting as processes of their own: NATS, people, tokens, recounting, a doctor, backups, erasing, learning", streams,
		newUser(s, s.inDatabase()), newToken(s, s.inDatabase()), newDeadLetters(s, s.inDatabase(), s.inBoth()),
		newVerify(s, s.inDatabase()), newAdminDoctor(s), newAdminBackup(s), newAdminRestore(s), newAdminErase(s), newAdminCorrections(s), newAdminReread(s), newChecks(s, s.inDatabase()))
}

func newStreamsApply(s *shared) *cobra.Command {
	var (
		nats     remote.Settings
		replicas int
		maxMB    int64
		check    bool
	)
	cmd := &cobra.Command{
		Use:   "apply",
		Short: "Create the stream, its consumers and buckets, or bring them up to date",
		Long: `Creates the stream of reports, its consumers and the key-value buckets on NATS, or brings
them to what this version needs, and prints what it changes. The services never do
that: they wait until it is done. It may be run again at any time, and must be after
an upgrade.

The number of copies and the disk are as chosen here: the servers must have the room
for --max-stream and as much as half of it again for photos. A stream whose other settings are
not those that this version needs is left as it is: every difference is named, nothing
is changed, and the exit code is 1.`,
		Example: `  onrecord admin streams apply --nats-url nats://nats-1:4222,nats://nats-2:4222 \
    --nats-user admin --nats-password-file admin.password --nats-ca ca.pem --nats-cert admin.pem --nats-key admin-key.pem
  onrecord admin streams apply --replicas 1 --check`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, log := cmd.Context(), s.logger()
			nc, err := nats.Dial(ctx, "admin", log)
			if err != nil {
				return err
			}
			defer nc.Close()
			b, err := bus.New(nc, log)
			if err != nil {
				return err
			}
			changes, err := b.Plan(ctx, bus.Settings{Replicas: replicas, MaxBytes: maxMB << 20})
			if err != nil {
				return err
			}
			if len(changes) == 0 {
				return s.say("Everything is as this version needs it.")
			}
			for _, c := range changes {
				if check {
					err = s.say("needed: %s", c)
				} else if err = c.Apply(ctx); err == nil { // it is said once it is so
					err = s.say("%s", c)
				}
				if err != nil {
					return err
				}
			}
			if check {
				return fmt.Errorf("changes needed: %d; nothing was changed, and without --check they are made", len(changes))
			}
			return s.say("Done.")
		},
	}
	f := cmd.Flags()
	f.IntVar(&replicas, "replicas", 3, "`number` of servers that keep a copy: 3 in a cluster, 1 on a single server")
	f.Int64Var(&maxMB, "max-stream", 2048, "`MiB` of each server’s disk the stream of reports may use")
	f.BoolVar(&check, "check", false, "only say what would be changed; exits with 1 if anything would be")
	nats.AddTo(f)
	s.checks[cmd] = func() error {
		err := nats.Check()
		if replicas != 1 && replicas != 3 && replicas != 5 {
			err = errors.Join(err, fmt.Errorf("replicas: want 1, 3 or 5, got %d", replicas))
		}
		if maxMB < 16 {
			err = errors.Join(err, fmt.Errorf("max-stream: want at least 16 MiB, got %d", maxMB))
		}
		return err
	}
	return cmd
}
