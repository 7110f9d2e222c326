package faults

// cases are the rows of the table, in its order.
var cases = []faultCase{
	{name: "R1", what: "kill -9 at every named place, twice", short: 1, run: everywhere},
	{name: "R1+", what: "kill -9 between a correction, its event and what is kept of it", short: 1, run: corrected},
	{name: "R2", what: "kill -9 at random", short: 2, run: anywhere},
	{name: "R3", what: "each service, and R8 a NATS server of three, killed apart", short: 0, alone: true, run: apart},
	{name: "R4", what: "power cut", short: 2, needs: []string{"mkfs.xfs", "mkfs.ext4", "losetup"}, root: true, run: powerCuts},
	{name: "R4-", what: "power cut with durability switched off: must lose", short: 1, needs: []string{"mkfs.xfs", "mkfs.ext4", "losetup"}, root: true, run: powerCutsUnsafe},
	{name: "R5", what: "disk full: under everything, the stream, the database", short: 1, root: true, run: fullDisk},
	{name: "R5+", what: "the stream's share of the disk used up", short: 1, run: fullStream},
	{name: "R6", what: "syncs fail: stream and database, once and for good", short: 1, needs: []string{"strace"}, run: failingDisk},
	{name: "R7", what: "the process stopped for longer than anybody waits", short: 1, run: asleep},
	{name: "R9", what: "networks between the services apart, NATS and the database cut, half open, slow", short: 0, alone: true, needs: []string{"go"}, run: parted},
	{name: "R10", what: "the database of the services apart away, slow, silent", short: 0, alone: true, needs: []string{"go"}, run: withoutDatabase},
	{name: "R11", what: "the same report again and again", short: 1, run: again},
	{name: "R12", what: "what nobody can read", short: 1, run: poison},
	{name: "R13", what: "damaged files", short: 1, run: damaged},
	{name: "R14", what: "old databases, lost streams, backups put back", short: 1, run: restored},
	{name: "R15", what: "clocks that are wrong, edges of months", short: 1, run: clocks},
	{name: "R16", what: "random histories against a plain count", short: 1, needs: []string{"go"}, run: histories},
	{name: "R17", what: "a published month, and what came after", short: 1, run: closedMonth},
	{name: "R18", what: "a backlog while the database stands", short: 1, alone: true, run: backlog},
	{name: "R20", what: "overload, slow senders, an endless upload", short: 1, alone: true, run: overload},
	{name: "R19", what: "restart under load, with what a later release writes in between", short: 1, run: restarts},
}
