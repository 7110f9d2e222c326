package program

import (
	"context"
	"fmt"
	"strings"

	"github.com/onrecord/onrecord/pkg/seal"
	"github.com/onrecord/onrecord/services/intake/intake"
	"github.com/onrecord/onrecord/services/onrecord/internal/backup"
	"github.com/onrecord/onrecord/services/reporting/reporting"
)

// Erasable is an incident whose words may be erased.
type Erasable = reporting.Erasable

// EraseQuery names what to erase: a receipt, a reference or an id.
type EraseQuery struct{ What string }

// eraser erases, and keeps in directories what it takes to do it again after an
// older backup was restored.
type eraser struct {
	reporting.Eraser
	ring *seal.Keyring
	dirs []string // "" is none
}

// find returns the incidents that a receipt or a reference names.
func (e eraser) find(ctx context.Context, what string) ([]Erasable, error) {
	if hash, ok := intake.ReceiptHash(e.ring, what); ok {
		return e.Find(ctx, hash, "")
	}
	return e.Find(ctx, nil, strings.TrimSpace(what))
}

// erase erases an incident's words. What is needed to do it again is on disk
// before anything is erased.
func (e eraser) erase(ctx context.Context, id string) error {
	kept, err := e.Erasure(ctx, id)
	if err != nil {
		return err
	}
	for _, dir := range e.dirs {
		if dir == "" {
			continue
		}
		if err := backup.AddErased(dir, e.ring, backup.Erased{Incident: kept.Incident, Tombstones: kept.Tombstones}); err != nil {
			return fmt.Errorf("nothing was erased: %w", err)
		}
	}
	return e.Erase(ctx, id)
}

func (p *Program) eraser() eraser {
	return eraser{p.reporting.Eraser(), p.ring, []string{p.dir.Path(), p.cfg.Backups.Dir}}
}

func (p *Program) findErasable(ctx context.Context, q EraseQuery, _ func(string)) (any, error) {
	return p.eraser().find(ctx, q.What)
}

func (p *Program) erase(ctx context.Context, id string, _ func(string)) (any, error) {
	return nil, p.eraser().erase(ctx, id)
}

func (a Apart) erasing(ctx context.Context, dir string, do func(eraser) error) error {
	return a.Database.Erasing(ctx, a.Bus, func(e reporting.Eraser) error {
		return do(eraser{e, a.Database.Keyring, []string{dir}})
	})
}

// FindErasable returns the incidents that a receipt or a reference names.
func (a Apart) FindErasable(ctx context.Context, what string) (found []Erasable, err error) {
	err = a.erasing(ctx, "", func(e eraser) error {
		found, err = e.find(ctx, what)
		return err
	})
	return found, err
}

// Erase erases an incident's words beside the running services, in the database
// and the stream. What it takes to do it again is kept in a directory, that of
// the backups, before anything is erased.
func (a Apart) Erase(ctx context.Context, id, backups string) error {
	return a.erasing(ctx, backups, func(e eraser) error { return e.erase(ctx, id) })
}

// EraseReturned removes what came back of erased reports from the stream, and
// returns how many reports that were.
func (a Apart) EraseReturned(ctx context.Context, progress func(string)) (reports int, err error) {
	err = a.erasing(ctx, "", func(e eraser) error {
		reports, err = e.EraseReturned(ctx, func(done int) { progress(fmt.Sprintf("%d events looked at", done)) })
		return err
	})
	return reports, err
}
