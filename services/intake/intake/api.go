package intake

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"

	"github.com/onrecord/onrecord/pkg/fault"
	"github.com/onrecord/onrecord/pkg/incident"
	"github.com/onrecord/onrecord/pkg/web"
	"github.com/onrecord/onrecord/services/intake/internal/filing"
)

// receivedJSON answers a report that is on disk.
type receivedJSON struct {
	ID         string    `json:"id"`
	Receipt    string    `json:"receipt"`
	ReceivedAt time.Time `json:"received_at"`
}

// fileAPI is POST /api/v1/reports.
func (s *Service) fileAPI(c *fiber.Ctx) error {
	f, err := readFiling(c)
	if err != nil {
		return err
	}
	r, err := s.file(c.UserContext(), f)
	if err != nil {
		return err
	}
	return sendReceived(c, r)
}

// readFiling decodes by the content type alone: nothing is guessed.
func readFiling(c *fiber.Ctx) (*filing.Filing, error) {
	body := c.Request().Body()
	switch kind, params := mediaType(c); kind {
	case fiber.MIMEApplicationJSON:
		return filing.FromJSON(body)
	case fiber.MIMEMultipartForm:
		return filing.FromMultipart(body, params["boundary"])
	}
	return nil, fault.New(fault.UnsupportedMedia, "unsupported_media", "Send the report as application/json, or as multipart/form-data with a part named “report”, not compressed.")
}

func sendReceived(c *fiber.Ctx, r received) error {
	status := http.StatusCreated
	if r.replayed {
		status = http.StatusOK
		c.Set("Idempotency-Replayed", "true")
	}
	return c.Status(status).JSON(receivedJSON{r.id, r.receipt.String(), r.at})
}

// sitesAPI is GET /api/v1/sites.
func (s *Service) sitesAPI(c *fiber.Ctx) error {
	sites, err := s.sites()
	if err != nil {
		return err
	}
	c.Set(fiber.HeaderCacheControl, "no-cache")
	c.Set(fiber.HeaderETag, sites.etag)
	if strings.TrimPrefix(c.Get(fiber.HeaderIfNoneMatch), "W/") == sites.etag {
		return c.SendStatus(http.StatusNotModified)
	}
	c.Set(fiber.HeaderContentType, fiber.MIMEApplicationJSON)
	return c.Send(sites.body)
}

// stepJSON and standingJSON answer POST /api/v1/follow-up.
type stepJSON struct {
	At         time.Time       `json:"at"`
	Status     incident.Status `json:"status"`
	StatusText string          `json:"status_text"`
}

type standingJSON struct {
	Status     incident.Status `json:"status"`
	StatusText string          `json:"status_text"`
	ReceivedAt time.Time       `json:"received_at"`
	ChangedAt  time.Time       `json:"changed_at"`
	Steps      []stepJSON      `json:"steps"`
}

// followUpAPI is POST /api/v1/follow-up. The receipt stands in the body: in an
// address it would be kept by every log on the way.
func (s *Service) followUpAPI(c *fiber.Ctx) error {
	if kind, _ := mediaType(c); kind != fiber.MIMEApplicationJSON {
		return fault.New(fault.UnsupportedMedia, "unsupported_media", "Send {\"receipt\":\"…\"} as application/json.")
	}
	var question struct {
		Receipt string `json:"receipt"`
	}
	d := json.NewDecoder(strings.NewReader(string(c.Request().Body())))
	d.DisallowUnknownFields()
	if err := d.Decode(&question); err != nil {
		return fault.New(fault.Malformed, "malformed", "The body must be {\"receipt\":\"…\"}.").Because(err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return fault.New(fault.Malformed, "malformed", "There is something after the JSON object.")
	}
	st, err := s.lookUp(c.UserContext(), web.ClientNetwork(c), question.Receipt)
	if err != nil {
		return err
	}
	answer := standingJSON{st.Status, string(statusText(st.Status)), st.ReceivedAt, st.ChangedAt, make([]stepJSON, 0, len(st.Steps))}
	for _, step := range st.Steps {
		answer.Steps = append(answer.Steps, stepJSON{step.At, step.Status, string(statusText(step.Status))})
	}
	return c.JSON(answer)
}
