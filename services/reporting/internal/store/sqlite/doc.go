// Package sqlite is the embedded store: one SQLite file, no server. It is the
// default on one machine; package mongo is the same port for deployments.
//
// # Connections and durability
//
// One connection writes, in immediate transactions, each synced to disk before
// it returns (write-ahead log, synchronous=FULL). Four read what was committed
// and are never in its way. What is deleted is overwritten (secure_delete) and
// the file shrinks (auto_vacuum=full); the log may hold older pages until it
// wraps or the store is closed. The file is of mode 0600.
//
// # Tables
//
// Documents are JSON with short names that stay for ever (documents.go), figures
// a binary form (package packed); the columns beside them are only what queries
// look for. Times in columns are milliseconds since 1970.
//
//	table             key                 what
//	incidents         n; id               a document each, with its place in four streams
//	facets            facet               distinct (kind, channel, target, status, review, said_nothing, undated)
//	site_facets       site_facet          distinct (site, facet)
//	incident_reports  incident, report    which incident holds a report and its receipt
//	pending           subject             events that wait for their report
//	ledgers           ledger; month, site revision and totals
//	ledger_entries    ledger              the lines the totals come from
//	rollups           rollup; month       revision and sums over every site
//	rollup_sites      rollup              the sites’ totals the sums come from
//	photos            id                  what a photo is, and its sealed bytes
//	editions          month, number       published months, written once
//	joint_changes     id                  what a person does to many incidents at once
//	users, tokens, sessions, sites, quarantine, meta, checks
//
// # Indexes and the queries that use them
//
//	incidents_by_id               Incident, EachIncident, ReplaceIncident, MarkFolded
//	incidents_by_time             lists and counts with no filter but the month
//	incidents_by_site             … by sites
//	incidents_by_facet            … by any of kind, channel, target, statuses, review, said_nothing, undated
//	incidents_by_site_facet       … by sites and any of those
//	incidents_by_arrival          CountArrivals, ListReceived
//	incidents_unfolded            Unfolded (partial: only what is behind)
//	incidents_lesson_due          LessonsDue (partial likewise)
//	facets_by_values              which facets a filter matches; InsertIncident
//	site_facets_by_site           which of them occur at its sites; InsertIncident
//	incident_reports_by_report    IncidentByReport
//	incident_reports_by_receipt   IncidentByReceipt
//	incident_reports_by_incident  ReplaceIncident
//	pending_by_subject            KeepPending, EachPending
//	pending_by_report             Pending, DropPending
//	ledgers_by_month              Ledger, PutLedger, EachLedger, LedgerCells of every site
//	ledgers_by_site               LedgerCells of some sites
//	rollups_by_month              Rollup, PutRollup, RollupCells
//	photos_by_id                  PutPhoto, Photo, DeletePhoto
//	photos_by_incident, …_report  PhotosOfIncident, PhotosOfReport, DeletePhotos
//	users_by_id, users_by_name    User, UserByName, Users
//	tokens_by_hash, …_id, …_age   TokenByHash, UpdateToken, Tokens
//	sessions_by_hash, …_user, …_seen  Session, DeleteSessions
//	sites_by_id, sites_by_name    PutSites, ListSites
//	quarantine_by_subject, …_age  Quarantined, ListQuarantined
//	editions_by_month             PutEdition, Edition, ListEditions
//	joint_changes_by_id, …_flood, …_age, …_open  JointChanges, UnfinishedJointChanges, ReplaceJointChange
//	meta_by_name                  Meta
//
// A list never scans or sorts incidents: see selection.
package sqlite
