package command

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"time"

	"github.com/onrecord/onrecord/services/classifier/classifier"
	"github.com/onrecord/onrecord/services/onrecord/internal/program"
)

// modelChange is a line of the log beside a model: who changed it, when, and
// how the new one compares. It holds nobody's words.
type modelChange struct {
	At          time.Time          `json:"at"`
	By          string             `json:"by"`     // of the operating system
	Action      string             `json:"action"` // "trained", "refused", "rolled back", actionReread, actionCutOff
	Model       string             `json:"model"`
	Reports     int                `json:"reports,omitempty"` // read again
	Before      string             `json:"before,omitempty"`  // the model whose place it takes
	Examples    int                `json:"examples,omitempty"`
	Corrections int                `json:"corrections,omitempty"`
	Right       map[string]float64 `json:"right,omitempty"`        // share of the texts kept back, by field
	RightBefore map[string]float64 `json:"right_before,omitempty"` // … of the model before
}

// trainedChange returns the line about a training. Whoever is in use may be nil.
func trainedChange(action string, t classifier.Trained, inUse classifier.Reader) modelChange {
	c := modelChange{Action: action, Model: t.Version, Examples: t.Examples, Corrections: t.Corrections, Right: rightShares(t.HeldOut), RightBefore: rightShares(t.Before)}
	if inUse != nil {
		c.Before = inUse.Version()
	}
	return c
}

func rightShares(e *classifier.Evaluation) map[string]float64 {
	if e == nil {
		return nil
	}
	shares := make(map[string]float64)
	for _, f := range e.Fields {
		shares[f.Name] = f.Right.Share
	}
	return shares
}

// modelLog is where changes of the model at path are written down.
func modelLog(path string) string { return strings.TrimSuffix(path, filepath.Ext(path)) + ".log" }

// noting makes a change of the model at path and adds its line to the log. The
// log is opened first: a change that could not be written down is not made.
func noting(path string, c modelChange, change func() error) error {
	return writingDown(modelLog(path), func() (modelChange, error) {
		if err := change(); err != nil {
			return modelChange{}, err
		}
		return c, nil
	})
}

// notingReread reads again and adds its line to a log: also when it was cut off,
// because what was read until then stands.
func notingReread(log string, reread func() (program.Reread, error)) (r program.Reread, err error) {
	err = writingDown(log, func() (modelChange, error) {
		c := modelChange{Action: actionReread}
		var err error
		if r, err = reread(); err != nil {
			c.Action = actionCutOff
		}
		c.Model, c.Reports = r.Model, r.Reports
		return c, err
	})
	return r, err
}

const (
	actionReread = "read again"
	actionCutOff = "read again, cut off"
)

// writingDown does something and adds the line that it returns to a log, unless
// it has no action. The log is opened first.
func writingDown(log string, do func() (modelChange, error)) error {
	f, err := os.OpenFile(log, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("nothing was done, because it could not be written down: %w", err)
	}
	defer f.Close()
	c, failed := do()
	if c.Action == "" {
		return failed
	}
	c.At, c.By = time.Now().UTC().Truncate(time.Second), systemUser()
	line, err := json.Marshal(c)
	if err == nil {
		_, err = f.Write(append(line, '\n'))
	}
	if err = errors.Join(err, f.Sync()); err != nil {
		err = fmt.Errorf("it was done, but the log has no line of it: %w", err)
	}
	return errors.Join(failed, err)
}

// systemUser names who runs this program.
func systemUser() string {
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return fmt.Sprintf("user %d", os.Getuid())
}

// modelHistory prints the log of the model at path, the newest last.
func (s *shared) modelHistory(path string) error {
	f, err := os.Open(modelLog(path))
	if errors.Is(err, fs.ErrNotExist) {
		return s.say("Nothing was trained, brought back or read again here: the model in this program is in use.")
	}
	if err != nil {
		return err
	}
	defer f.Close()
	var rows [][]string
	lines := bufio.NewScanner(f)
	for n := 1; lines.Scan(); n++ {
		var c modelChange
		if err := json.Unmarshal(lines.Bytes(), &c); err != nil {
			fmt.Fprintf(s.env.Stderr, "%s, line %d cannot be read\n", f.Name(), n)
			continue
		}
		rows = append(rows, []string{c.At.Format(time.RFC3339), c.By, c.Action, orDash(c.Model), orDash(c.Before), fmt.Sprint(c.Corrections), fmt.Sprint(c.Reports),
			compared(c, "kind"), compared(c, "channel"), compared(c, "target")})
	}
	if err := lines.Err(); err != nil {
		return err
	}
	return s.table([]string{"when", "who", "what", "model", "instead of", "corrections", "read again", "kind", "channel", "target"}, rows)
}

func orDash(text string) string {
	if text == "" {
		return "–"
	}
	return text
}

// compared says how often a field is right on the texts kept back, and how
// often it was before.
func compared(c modelChange, field string) string {
	now, ok := c.Right[field]
	if !ok {
		return "–"
	}
	if before, ok := c.RightBefore[field]; ok {
		return fmt.Sprintf("%.3f (was %.3f)", now, before)
	}
	return fmt.Sprintf("%.3f", now)
}
