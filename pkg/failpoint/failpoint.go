// Package failpoint names the places where a crash is tried out. In a program
// as it is built for people each of them does nothing: only a build with the
// tag failpoints, which the fault tests make, can be told to end there.
package failpoint

// The places. A process that is told so ends at one of them as by kill -9.
const (
	PublishBefore  = "publish.before"  // the event is about to go to the stream
	PublishAfter   = "publish.after"   // the stream has it on disk; nobody was told
	BatchStaged    = "batch.staged"    // all of a batch but its commit was sent
	BatchAfter     = "batch.after"     // the stream has the batch; nobody was told
	ApplyBefore    = "apply.before"    // a batch of events was read from the stream
	IncidentStored = "incident.stored" // an incident was written, the ledgers not yet
	LedgerStored   = "ledger.stored"   // a ledger was written, the roll-up not yet
	RollupStored   = "rollup.stored"   // a roll-up was written, the incident not marked
	FoldedMarked   = "folded.marked"   // an incident was marked as folded
	CommitBefore   = "commit.before"   // everything is in the transaction
	CommitAfter    = "commit.after"    // the transaction is on disk
	AckBefore      = "ack.before"      // the store has it; the stream was not told
	AckAfter       = "ack.after"       // the stream was told
	CorrectionDue  = "correction.due"  // a correction is in the store, and not published
	CorrectionSent = "correction.sent" // the stream has it; the incident was not told
	BootKey        = "boot.key"        // the master key is there, nothing else
	BootStream     = "boot.stream"     // the stream's server runs
	BootTopology   = "boot.topology"   // the stream and its consumers are there
	BootStore      = "boot.store"      // the database is there
	Migrating      = "migrating"       // between two steps of making the database
)

// All are the places in the order in which a report passes them; those of a
// correction have a test of their own.
var All = []string{
	BootKey, BootStream, BootTopology, Migrating, BootStore,
	PublishBefore, PublishAfter, BatchStaged, BatchAfter,
	ApplyBefore, IncidentStored, LedgerStored, RollupStored, FoldedMarked, CommitBefore, CommitAfter, AckBefore, AckAfter,
}
