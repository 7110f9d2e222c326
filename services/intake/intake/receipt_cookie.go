package intake

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"github.com/onrecord/onrecord/pkg/web"
	"github.com/onrecord/onrecord/services/intake/internal/receipt"
)

// The receipt reaches the page after the form in a cookie that only this
// program can read: it must stand in no address, and reloading that page must
// not send the report again.
const receiptCookieLife = 10 * time.Minute

type receiptNote struct {
	Receipt string    `json:"r"`
	At      time.Time `json:"a"`
	Ends    time.Time `json:"e"`
}

// sealReceipt returns the cookie's value.
func (s *Service) sealReceipt(r received) (string, error) {
	plain, err := json.Marshal(receiptNote{r.receipt.String(), r.at, s.now().Add(receiptCookieLife)})
	if err != nil {
		return "", err
	}
	key, wrapped := s.keys.NewDataKey()
	return base64.RawURLEncoding.EncodeToString(wrapped) + "." + base64.RawURLEncoding.EncodeToString(key.Seal(plain, web.ReceiptCookie)), nil
}

// openReceipt reads the cookie's value; any fault of it is one error.
func (s *Service) openReceipt(value string) (receipt.Code, time.Time, error) {
	errGone := errors.New("the receipt is not shown any more")
	first, second, _ := strings.Cut(value, ".")
	wrapped, err1 := base64.RawURLEncoding.DecodeString(first)
	sealed, err2 := base64.RawURLEncoding.DecodeString(second)
	key, err3 := s.keys.Unwrap(wrapped)
	if err := errors.Join(err1, err2, err3); err != nil {
		return receipt.Code{}, time.Time{}, errGone
	}
	plain, err := key.Open(sealed, web.ReceiptCookie)
	var note receiptNote
	if err != nil || json.Unmarshal(plain, &note) != nil || s.now().After(note.Ends) {
		return receipt.Code{}, time.Time{}, errGone
	}
	code, err := receipt.Parse(note.Receipt)
	return code, note.At, err
}
