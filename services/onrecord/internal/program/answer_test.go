package program_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/uuid"
)

// standing is what the holder of a receipt is told.
type standing struct {
	Read     bool
	Status   string
	Contact  string
	Messages []struct{ From, What, Text string }
}

func (k *kit) followUp(receipt string, addition map[string]any) (standing, error) {
	k.tb.Helper()
	res := k.call("POST", "/api/v1/follow-up", asJSON(map[string]any{"receipt": receipt, "addition": addition}), "Content-Type", "application/json", "X-Forwarded-For", "")
	var st standing
	if res.StatusCode != 200 {
		return st, fmt.Errorf("%d %s", res.StatusCode, res.Body)
	}
	return st, json.Unmarshal([]byte(res.Body), &st)
}

// change does what a rep can do to an incident, at its newest revision.
func (k *kit) change(as []string, id, action string, body map[string]any) {
	k.tb.Helper()
	path := "/api/v1/incidents/" + id
	etag := k.call("GET", path, "", as...).Header.Get("ETag")
	if res := k.call("POST", path+"/"+action, asJSON(body), append([]string{"Content-Type", "application/json", "If-Match", etag}, as...)...); res.StatusCode != 200 {
		k.tb.Fatalf("%s: %d %s", action, res.StatusCode, res.Body)
	}
}

// The answer comes back: rep and anonymous reporter write to each other, the
// question is answered, "closed" is contradicted, and the report is taken back.
func TestTheAnswerComesBack(t *testing.T) {
	k := open(t)
	k.run()
	k.importSites()
	rep := k.token("rep")
	var filed struct{ Receipt string }
	if err := json.Unmarshal([]byte(k.call("POST", "/api/v1/reports", report(nil), "Content-Type", "application/json").Body), &filed); err != nil {
		t.Fatal(err)
	}
	id := k.classified(rep, 1)[0].ID
	detail := func() string { return k.call("GET", "/api/v1/incidents/"+id, "", rep...).Body }
	until := func(words string) {
		t.Helper()
		k.eventually(func() error {
			if !strings.Contains(detail(), words) {
				return fmt.Errorf("%q is not in the incident", words)
			}
			return nil
		})
	}
	add := func(what, text string, more ...any) standing {
		t.Helper()
		a := map[string]any{"id": uuid.Must(uuid.NewV7()), "what": what, "text": text}
		if len(more) > 0 {
			a["contact"] = more[0]
		}
		st, err := k.followUp(filed.Receipt, a)
		if err != nil {
			t.Fatal(err)
		}
		return st
	}

	k.change(rep, id, "status", map[string]any{"status": "in_review"})
	k.change(rep, id, "note", map[string]any{"note": "Demo note, for reps only."})
	k.change(rep, id, "message", map[string]any{"message": "Demo: the screen is ordered."})
	k.change(rep, id, "ask", map[string]any{"question": "Demo: which desk was it?"})
	st := add("words", "Demo: the one by the door.")
	if !st.Read || st.Status != "waiting_for_reporter" || len(st.Messages) != 3 || st.Messages[0].Text != "Demo: the screen is ordered." ||
		st.Messages[1].What != "question" || st.Messages[2].Text != "Demo: the one by the door." || st.Messages[2].What != "answer" {
		t.Errorf("the reporter is told %+v", st)
	}
	until("the one by the door")
	if got := detail(); !strings.Contains(got, `"status":"in_review"`) || !strings.Contains(got, "answered_by_reporter") {
		t.Errorf("after the answer: %s", got)
	}

	add("contact", "", map[string]any{"choice": "rep_only", "name": "Demo Reporter"})
	until("Demo Reporter")
	if st := add("contact", "", "anonymous"); st.Contact != "anonymous" {
		t.Errorf("contact=%q", st.Contact)
	}
	k.eventually(func() error {
		if strings.Contains(detail(), "Demo Reporter") {
			return errors.New("the name of somebody who is anonymous again is still shown")
		}
		return nil
	})

	k.change(rep, id, "close", map[string]any{"fixed": true, "reason": "Demo reason, for reps only."})
	add("nothing_happened", "Demo: there is no screen.")
	until("there is no screen")
	if got := detail(); !strings.Contains(got, `"status":"acknowledged"`) || !strings.Contains(got, `"nothing_happened":true`) {
		t.Errorf("after “nothing happened”: %s", got)
	}
	add("withdraw", "")
	until(`"status":"withdrawn"`)
	st = add("words", "Demo: thank you all the same.")
	if st.Status != "withdrawn" {
		t.Errorf("status=%q", st.Status)
	}
	for _, m := range st.Messages {
		if strings.Contains(m.Text, "for reps only") {
			t.Errorf("the reporter reads what was for reps: %q", m.Text)
		}
	}
}
