// Package mongo is the store for deployments: a MongoDB, as a single server, a
// replica set or a sharded cluster. It is the same port as package sqlite.
//
// # What it asks of MongoDB
//
// Every operation writes one document, under an id of our own, acknowledged by
// a majority that has it in the journal, and reads what a majority has from the
// primary. There are no transactions, no increments and no change streams:
// what must not be lost to another instance is guarded by the revision that was
// read, and each write carries a name of its own ("w"), by which it knows itself
// when it is sent again because the connection broke or the primary stepped
// down. So it is right on every topology, and on the compatible server of the
// tests as far as that one is: see deployments/ferretdb.
//
// # Collections
//
// Documents are BSON (documents.go), with names that stay for ever. What figures
// are made of, totals and lines, is packed (package packed): a hundred cells are
// a kilobyte then, and fourteen as documents.
//
//	collection          _id                 what
//	incidents           incident id         an incident with its timeline; "by" is what it counts under
//	pending             subject             events that wait for their report
//	ledgers             "YYYY-MM site"      a ledger’s totals, and the revision of the lines that they come from
//	ledger_lines        "YYYY-MM site"      its revision, and a line for each incident: the truth of the two
//	rollups             "YYYY-MM"           revision, sums over every site, and the sites’ totals
//	users               user id             accounts
//	tokens              token id            API tokens
//	sessions            hash, hexadecimal   signed-in browsers
//	directory           "sites"             every site, in one document
//	quarantine          subject             messages that could not be read
//	photos              photo id            what a photo is, and the file with its bytes
//	photo_bytes.files   photo/write         GridFS: sealed bytes
//	photo_bytes.chunks                      GridFS
//	editions            "YYYY-MM/number"    published months, written once
//	joint_changes       id                  what a person does to many incidents at once
//	meta                name                facts about the store
//	checks              "write"             what Check writes
//	schema              "onrecord"          the version
//
// # A ledger is two documents
//
// Lines grow with the incidents and figures must not cost more for that, so they
// stand in a collection of their own. Any server loads a document whole, however
// little of it is asked for.
//
// PutLedger writes the lines first, guarded by their revision, and then the
// totals, with the revision and the write’s name ("w") of the lines that they
// come from. The first write is the one that counts:
//
//   - Of two that store the same revision, one wins at the lines; the other is
//     stale and has written nothing.
//   - Totals only go forward: they are stored unless some of a later revision are
//     there. So those that come late, from a process that was halted between its
//     two writes, change nothing; and the same, sent again, are the same.
//   - Whoever dies between the two has stored the ledger, with the totals of the
//     revision before. Ledger sees that the two are not of one revision and one
//     write, makes the totals anew from the lines, and stores them. An incident
//     that was being folded is still behind, folding it reads its ledgers, and so
//     completes them: it is marked only after lines and totals both stand.
//   - LedgerCells reads totals alone and may lag by that for as long. EachLedger
//     gives totals as they stand, for an audit to see; and since that looks again
//     by Ledger at what differs, no ledger stays behind for longer than an hour.
//   - Totals ahead of their lines are no state of this: somebody put back one
//     collection without the other. Ledger refuses them, and nothing is counted
//     on top. The two are copied and put back together.
//
// Up to version 1 of the database a document of ledgers held both. The migration
// to version 2 reads every such ledger, which takes its lines out of it: first
// they are stored, then the totals over both. It may be cut anywhere and begun
// again. What an instance of an older release, still running beside, writes
// meanwhile is taken over in the same way when the ledger is next read; but it can
// read none that was moved, and shows figures without them: it should be stopped
// before. The migration to version 3 marks the incidents of
// which a reporter has said that nothing happened, and has them folded again.
//
// A roll-up is one document: what it holds grows with the sites and the sorts of
// incidents at each, and not with the incidents.
//
// # Indexes and the queries that use them
//
// They are made at start, and one that conflicts is refused by name: on other
// fields, or with options that leave out, remove or merge documents.
//
//	_id_ of every collection   Incident, EachIncident, ReplaceIncident, MarkFolded, EachPending, Ledger, PutLedger,
//	                           EachLedger, Rollup, PutRollup, RollupCells, Edition, ListEditions, User, UpdateUser,
//	                           Session, SeeSession, Photo, Meta, …
//	incidents_by_time          lists and counts with no filter but the month
//	incidents_by_site          … by sites            the most selective one is chosen by the server;
//	incidents_by_status        … by statuses         each is in the order of lists
//	incidents_by_kind          … by kind
//	incidents_by_channel       … by channel
//	incidents_by_target        … by target
//	incidents_by_review        … by need of a person
//	incidents_by_nothing       … by what a reporter said
//	incidents_by_undated       … of which nobody knows when they happened
//	incidents_by_arrival       CountArrivals, ListReceived
//	incidents_by_month         Recount
//	incidents_by_report        IncidentByReport
//	incidents_by_receipt       IncidentByReceipt
//	incidents_behind           Unfolded, MarkAllFolded ("behind" is there only while it is true)
//	incidents_lesson_due       LessonsDue
//	pending_by_report          Pending, DropPending
//	ledgers_by_month           LedgerCells of every site
//	ledgers_by_site            LedgerCells of some sites
//	users_by_name (unique)     UserByName, Users, UpdateUser
//	tokens_by_hash (unique)    TokenByHash, UpdateToken
//	tokens_by_age              Tokens
//	sessions_by_user, …_seen   DeleteSessions
//	quarantine_by_age          ListQuarantined
//	joint_changes_by_flood, …_by_age, …_open  JointChanges, UnfinishedJointChanges
//	photos_by_incident, …_report  PhotosOfIncident, PhotosOfReport, DeletePhotos
//	files_id_1_n_1 (unique)    the bytes of photos; the driver’s own name
//
// Figures read ledgers and roll-ups by these, and never incidents.
package mongo
