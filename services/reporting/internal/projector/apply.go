package projector

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strconv"

	"google.golang.org/protobuf/proto"

	"github.com/onrecord/onrecord/pkg/bus"
	"github.com/onrecord/onrecord/pkg/failpoint"
	"github.com/onrecord/onrecord/pkg/incident"
	onrecordv1 "github.com/onrecord/onrecord/proto/onrecord/v1"
	"github.com/onrecord/onrecord/services/reporting/internal/store"
)

// outcome is what became of an event, for the metrics.
type outcome string

const (
	applied outcome = "applied"
	known   outcome = "known"   // it was applied before: nothing changed
	waiting outcome = "waiting" // kept until its report arrives
	erased  outcome = "erased"  // it came back after its report was erased: dropped
)

// work is the incidents of one batch: each is loaded once and written once.
type work struct {
	p       *Projector
	tx      store.Store
	cases   []*incidentCase
	holding map[string]*incidentCase   // of cases, by report
	photos  map[string][]carried       // of what waited and was applied, by report
	absent  map[string]bool            // reports that no incident holds
	waiting map[string][]store.Pending // what waits for the reports that are filed in the batch
}

func newWork(p *Projector, tx store.Store) *work {
	return &work{p: p, tx: tx, holding: make(map[string]*incidentCase)}
}

// begin loads everything that a batch is about.
func (w *work) begin(ctx context.Context, events []event) error {
	w.absent, w.waiting = make(map[string]bool), make(map[string][]store.Pending)
	var reports, filed []string
	for _, ev := range events {
		if !w.absent[ev.reportID] {
			w.absent[ev.reportID] = true
			reports = append(reports, ev.reportID)
		}
		if _, known := w.waiting[ev.reportID]; ev.kind == bus.TypeFiled && !known {
			w.waiting[ev.reportID] = nil
			filed = append(filed, ev.reportID)
		}
	}
	held, err := store.IncidentsByReports(ctx, w.tx, reports)
	if err != nil {
		return err
	}
	for _, i := range held {
		w.take(i)
		for _, r := range i.Reports {
			delete(w.absent, r.ID)
		}
	}
	kept, err := store.PendingOf(ctx, w.tx, filed)
	for _, p := range kept {
		w.waiting[p.ReportID] = append(w.waiting[p.ReportID], p)
	}
	return err
}

// incidentCase is an incident in hand. Its stored revision is 0 while it is new.
type incidentCase struct {
	*incident.Incident
	storedRev int64
	settled   []string // reports whose waiting events were applied and can go
}

// touch counts a change: however many a batch makes, they are one revision.
func (c *incidentCase) touch() { c.Rev = c.storedRev + 1 }

// apply brings one event to its incident.
func (w *work) apply(ctx context.Context, ev event) (outcome, error) {
	c, err := w.load(ctx, ev.reportID)
	if err != nil {
		return "", err
	}
	if c == nil {
		if gone, err := w.p.buried(ctx, w.tx, ev.reportID); gone || err != nil {
			return erased, err
		}
	}
	if c != nil && len(c.WrappedKey) == 0 && ev.kind == bus.TypeFiled {
		return erased, nil
	}
	if ev.kind == bus.TypeFiled {
		return w.file(ctx, c, ev)
	}
	if c == nil {
		if err := w.tx.KeepPending(ctx, store.Pending{ReportID: ev.reportID, Subject: ev.Subject, Seq: ev.Seq, Data: ev.Data, At: ev.At}); err != nil {
			return "", err
		}
		// Another instance may have stored the report in between and not seen it waiting.
		delete(w.absent, ev.reportID)
		delete(w.waiting, ev.reportID)
		if c, err = w.load(ctx, ev.reportID); c == nil || err != nil {
			return waiting, err
		}
		return applied, w.settle(ctx, c, ev.reportID)
	}
	return w.p.change(c, ev)
}

// load returns the incident that holds a report, or nil.
func (w *work) load(ctx context.Context, reportID string) (*incidentCase, error) {
	if c := w.holding[reportID]; c != nil {
		return c, nil
	}
	if w.absent[reportID] {
		return nil, nil
	}
	i, err := w.tx.IncidentByReport(ctx, reportID)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return nil, nil
	case err != nil:
		return nil, err
	}
	return w.take(i), nil
}

// take adds a stored incident to those in hand.
func (w *work) take(i *incident.Incident) *incidentCase {
	c := &incidentCase{Incident: i, storedRev: i.Rev}
	w.cases = append(w.cases, c)
	for _, r := range i.Reports {
		w.holding[r.ID] = c
	}
	return c
}

// file opens an incident for a filed report, or fills one that was opened for
// it while it could not be read. What waited for the report is applied; after
// a crash it may wait still although the report is there.
func (w *work) file(ctx context.Context, c *incidentCase, ev event) (outcome, error) {
	result := known
	switch {
	case c == nil:
		c = w.open(ev.reportID)
		fallthrough
	case isUnread(c.Incident, ev.reportID):
		if err := w.p.fill(c.Incident, ev); err != nil {
			return "", err
		}
		c.touch()
		result = applied
	}
	return result, w.settle(ctx, c, ev.reportID)
}

// open adds a new incident for a report to those in hand.
func (w *work) open(reportID string) *incidentCase {
	c := &incidentCase{Incident: w.p.blank(reportID)}
	w.cases = append(w.cases, c)
	w.holding[reportID] = c
	return c
}

// settle applies the events that waited for a report.
func (w *work) settle(ctx context.Context, c *incidentCase, reportID string) error {
	events, known := w.waiting[reportID]
	if !known {
		var err error
		if events, err = w.tx.Pending(ctx, reportID); err != nil {
			return err
		}
	}
	if len(events) == 0 {
		return nil
	}
	for _, p := range events {
		d := bus.Delivery{Subject: p.Subject, Data: p.Data, Seq: p.Seq, At: p.At}
		ev, err := w.p.decode(d)
		if err != nil { // it could be read when it was kept: another version did
			if err := w.p.putQuarantined(ctx, w.tx, d, err); err != nil {
				return err
			}
			continue
		}
		if _, err := w.p.change(c, ev); err != nil {
			return err
		}
		if len(ev.carries.photos) > 0 {
			if w.photos == nil {
				w.photos = make(map[string][]carried)
			}
			w.photos[reportID] = append(w.photos[reportID], ev.carries)
		}
	}
	c.settled = append(c.settled, reportID)
	return nil
}

// store writes every incident in hand that changed, and returns those whose
// ledgers are behind.
func (w *work) store(ctx context.Context) ([]*incident.Incident, error) {
	var puts []store.Put
	var behind []*incident.Incident
	for _, c := range w.cases {
		if c.storedRev == 0 || c.Rev != c.storedRev {
			puts = append(puts, store.Put{Incident: c.Incident, WasRev: c.storedRev})
		}
		if c.Rev > c.FoldedRev {
			behind = append(behind, c.Incident)
		}
	}
	if err := store.PutIncidents(ctx, w.tx, puts); err != nil {
		return nil, err
	}
	for range puts {
		failpoint.Hit(failpoint.IncidentStored)
	}
	for _, c := range w.cases {
		for _, reportID := range c.settled { // only now that the incident holds them
			if err := w.tx.DropPending(ctx, reportID); err != nil {
				return nil, err
			}
		}
	}
	return behind, nil
}

// change applies an event to the incident that holds its report.
func (p *Projector) change(c *incidentCase, ev event) (outcome, error) {
	var changed bool
	var err error
	if ev.reading != nil {
		changed, err = p.read(c.Incident, ev)
	} else {
		changed, err = p.add(c.Incident, ev)
	}
	if err != nil || !changed {
		return known, err
	}
	c.touch()
	return applied, nil
}

// blank returns an incident of which nothing is known yet.
func (p *Projector) blank(reportID string) *incident.Incident {
	i := &incident.Incident{Status: incident.StatusNew, Hurt: incident.HurtUnknown, Precision: incident.PrecisionUnknown}
	i.ID, i.Ref = p.ids.of(reportID)
	_, i.WrappedKey = p.keyring.NewDataKey()
	return i
}

// fill takes a filed report into an incident that does not hold it yet. What a
// person corrected in the meantime stands.
func (p *Projector) fill(i *incident.Incident, ev event) error {
	r := &ev.filed.report
	site, occurredAt := r.Site, r.OccurredAt
	if corrected(i, "site") {
		site = i.Site
	}
	if corrected(i, "occurred_at") {
		occurredAt = i.OccurredAt
	} else {
		i.Precision = r.Precision
	}
	i.Locate(site, occurredAt)
	if !corrected(i, "hurt") {
		i.Hurt = r.Hurt
	}
	if !corrected(i, "people_affected") {
		i.PeopleAffected = r.PeopleAffected
	}
	i.Kind.Reporter, i.Channel.Reporter, i.Target.Reporter = r.Kind, r.Channel, r.Target
	i.DaysUnable = r.DaysUnable
	i.Employer = p.employers(r.Employer)
	i.ReceivedAt = ev.at

	report := incident.FiledReport{
		ID: r.ID, ReceiptHash: ev.filed.receiptHash, ReceivedAt: ev.at,
		ContactChoice: r.Contact.Choice, Language: r.Language,
		Kind: r.Kind, Channel: r.Channel, Target: r.Target,
		PressedAt: r.PressedAt, FormVersion: r.FormVersion, PeopleAffected: r.PeopleAffected, Details: r.Details,
	}
	if len(ev.filed.words) > 0 && len(i.WrappedKey) > 0 {
		key, err := p.keyring.Unwrap(i.WrappedKey)
		if err != nil {
			return err
		}
		report.SealedWords = key.Seal(ev.filed.words, i.ID, "words", r.ID)
	}
	i.Reports = slices.DeleteFunc(i.Reports, func(held incident.FiledReport) bool { return held.ID == r.ID })
	i.Reports = append(i.Reports, report)
	i.Lesson.Features = nil // these are other words, or words at last

	c := incident.Change{At: ev.at, By: p.timeline.Reporter(r.ID), Action: incident.ActionFiled, To: string(i.Status)}
	if len(i.Timeline) > 0 {
		c.From = c.To // it was counted before it could be read: no change of status
	}
	return p.timeline.Append(i, c, "")
}

// corrected reports whether a person set the field.
func corrected(i *incident.Incident, field string) bool {
	return slices.ContainsFunc(i.Timeline, func(c incident.Change) bool {
		return c.Action == incident.ActionCorrected && c.Field == field
	})
}

// isUnread reports whether the incident was opened for a report that could not
// be read, and still stands so.
func isUnread(i *incident.Incident, reportID string) bool {
	n := slices.IndexFunc(i.Reports, func(r incident.FiledReport) bool { return r.ID == reportID })
	return n >= 0 && len(i.Reports[n].ReceiptHash) == 0
}

// read takes in what the classifier made of a report. Readings stand in the
// order in which the stream stored them, and the newest is the machine's word,
// whatever order they arrive in. Nobody else's word is touched.
func (p *Projector) read(i *incident.Incident, ev event) (changed bool, err error) {
	r := *ev.reading
	if slices.ContainsFunc(i.Readings, func(held incident.Reading) bool { return held.ReportID == r.ReportID && held.Model == r.Model }) {
		return false, nil
	}
	if len(i.WrappedKey) == 0 {
		r.Forget() // the words were erased while it was made
	}
	at, _ := slices.BinarySearchFunc(i.Readings, r, func(held, r incident.Reading) int {
		return cmp.Or(held.At.Compare(r.At), cmp.Compare(held.Model, r.Model), cmp.Compare(held.ReportID, r.ReportID))
	})
	i.Readings = slices.Insert(i.Readings, at, r)
	newest := i.Readings[len(i.Readings)-1]
	i.Kind.Machine = incident.Kind(newest.Kind.Value)
	i.Channel.Machine = incident.Channel(newest.Channel.Value)
	i.Target.Machine = incident.Target(newest.Target.Value)
	by := incident.Actor{Role: "machine", ID: r.Model}
	return true, p.timeline.Append(i, incident.Change{At: ev.at, By: by, Action: incident.ActionRead}, "")
}

// add takes in what the holder of the receipt added. "Nothing happened" opens
// a closed incident again, and words answer a question that waits. Either takes
// back what was set aside: its reporter says that it is real. Withdrawing
// takes an incident out of the figures and leaves it on record; of several
// reports of one incident, each is only marked. An addition already in the
// timeline changes nothing.
func (p *Projector) add(i *incident.Incident, ev event) (changed bool, err error) {
	a := ev.added
	if slices.ContainsFunc(i.Timeline, func(c incident.Change) bool { return c.Event == a.id }) {
		return false, nil
	}
	c := incident.Change{At: ev.at, By: p.timeline.Reporter(ev.reportID), Action: incident.ActionAdded, Event: a.id}
	setStatus := func(action incident.Action, to incident.Status) {
		c.Action, c.From, c.To = action, string(i.Status), string(to)
		i.Status = to
	}
	switch a.what {
	case onrecordv1.Addition_ADDITION_WITHDRAWN:
		c.Field = "withdrawn"
		if len(i.Reports) == 1 {
			setStatus(incident.ActionWithdrawn, incident.StatusWithdrawn)
		}
	case onrecordv1.Addition_ADDITION_NOTHING_HAPPENED:
		c.Field = incident.FieldNothingHappened
		switch {
		case i.Status.IsClosed():
			setStatus(incident.ActionReopened, incident.StatusReopened)
		case i.Status == incident.StatusSetAside:
			setStatus(incident.ActionTakenBack, i.BeforeSetAside())
		}
	case onrecordv1.Addition_ADDITION_CONTACT:
		c.Action, c.Field = incident.ActionContact, "contact"
		if c.From, c.To, err = p.setContact(i, ev.reportID, a.contact); err != nil {
			return false, err
		}
	default:
		c.Field = "words"
		if a.photos > 0 {
			c.Field, c.To = incident.FieldPhotos, strconv.Itoa(a.photos)
		}
		switch i.Status {
		case incident.StatusWaitingForReporter:
			setStatus(incident.ActionAnswered, beforeAsking(i))
		case incident.StatusSetAside:
			setStatus(incident.ActionTakenBack, i.BeforeSetAside())
		}
	}
	text := a.text
	if len(i.WrappedKey) == 0 {
		text = "" // the words of this incident were erased: new ones are not kept either
	}
	return true, p.timeline.Append(i, c, text)
}

// beforeAsking returns the status that an incident had before it waited for
// the reporter. Whoever asked has read it.
func beforeAsking(i *incident.Incident) incident.Status {
	for _, c := range slices.Backward(i.Timeline) {
		if c.To != string(incident.StatusWaitingForReporter) || c.Action == incident.ActionCorrected {
			continue
		}
		if from := incident.Status(c.From); from.IsOpen() && from != incident.StatusNew && from != incident.StatusWaitingForReporter {
			return from
		}
	}
	return incident.StatusAcknowledged
}

// setContact takes over who may know who filed a report, and how to reach them,
// and returns the choice before and after. Nothing is kept of whoever is to be
// anonymous.
func (p *Projector) setContact(i *incident.Incident, reportID string, to incident.Contact) (was, is string, err error) {
	n := slices.IndexFunc(i.Reports, func(r incident.FiledReport) bool { return r.ID == reportID })
	r := &i.Reports[n]
	was, r.ContactChoice = string(r.ContactChoice), to.Choice
	if len(i.WrappedKey) == 0 {
		return was, string(to.Choice), nil
	}
	key, err := p.keyring.Unwrap(i.WrappedKey)
	if err != nil {
		return "", "", err
	}
	var words onrecordv1.ReportWords
	if len(r.SealedWords) > 0 {
		plain, err := key.Open(r.SealedWords, i.ID, "words", r.ID)
		if err != nil {
			return "", "", err
		}
		if err := proto.Unmarshal(plain, &words); err != nil {
			return "", "", errors.New("the words are not protobuf")
		}
	}
	words.ContactName, words.ContactDetails = to.Name, to.Details
	plain, err := proto.Marshal(&words)
	if err != nil {
		return "", "", err
	}
	r.SealedWords = nil
	if len(plain) > 0 {
		r.SealedWords = key.Seal(plain, i.ID, "words", r.ID)
	}
	return was, string(to.Choice), nil
}
