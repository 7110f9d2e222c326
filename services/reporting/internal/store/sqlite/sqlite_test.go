package sqlite

import (
	"path/filepath"
	"testing"

	"github.com/onrecord/onrecord/services/reporting/internal/store"
	"github.com/onrecord/onrecord/services/reporting/internal/store/storetest"
)

func TestStore(t *testing.T) {
	storetest.Run(t, openTemp, storetest.Transactional())
}

// openTemp returns a new store in a directory of its own, closed with the test.
func openTemp(t *testing.T) store.Store {
	t.Helper()
	return openAt(t, filepath.Join(t.TempDir(), "onrecord.db"))
}

func openAt(t testing.TB, path string) *db {
	t.Helper()
	s, err := Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return s.(*db)
}
