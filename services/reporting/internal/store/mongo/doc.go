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
// Documents are BSON (documents.go), with names that stay for ever. Ledgers'
// lines and the sites of roll-ups are packed (package packed).
//
//	collection          _id                 what
//	incidents           incident id         an incident with its timeline; "by" is what it counts under
//	pending             subject             events that wait for their report
//	ledgers             "YYYY-MM site"      revision, totals, and the lines these come from
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
//	meta                name                facts about the store
//	checks              "write"             what Check writes
//	schema              "onrecord"          the version
//
// # Indexes and the queries that use them
//
// They are made at start, and one that conflicts is refused by name.
//
//	_id_ of every collection   Incident, EachIncident, ReplaceIncident, MarkFolded, EachPending, Ledger, PutLedger,
//	                           EachLedger, Rollup, PutRollup, RollupCells, Edition, ListEditions, User, UpdateUser,
//	                           Session, Photo, Meta, …
//	incidents_by_time          lists and counts with no filter but the month
//	incidents_by_site          … by sites            the most selective one is chosen by the server;
//	incidents_by_status        … by statuses         each is in the order of lists
//	incidents_by_kind          … by kind
//	incidents_by_channel       … by channel
//	incidents_by_target        … by target
//	incidents_by_review        … by need of a person
//	incidents_by_month         Recount
//	incidents_by_report        IncidentByReport
//	incidents_by_receipt       IncidentByReceipt
//	incidents_behind           Unfolded ("behind" is there only while it is true)
//	pending_by_report          Pending, DropPending
//	ledgers_by_month           LedgerCells of every site
//	ledgers_by_site            LedgerCells of some sites
//	users_by_name (unique)     UserByName, Users, UpdateUser
//	tokens_by_hash (unique)    TokenByHash, UpdateToken
//	tokens_by_age              Tokens
//	sessions_by_user, …_seen   DeleteSessions
//	quarantine_by_age          ListQuarantined
//	photos_by_incident, …_report  PhotosOfIncident, PhotosOfReport, DeletePhotos
//	files_id_1_n_1 (unique)    the bytes of photos; the driver’s own name
//
// Figures read ledgers and roll-ups by these, and never incidents.
package mongo
