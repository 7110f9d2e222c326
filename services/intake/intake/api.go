package intake

import (
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
	return nil, fault.New(fault.UnsupportedMedia, "unsupported_media", "Send the report as application/json, or as multipart/form-data with a part named “report”.")
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

// stepJSON and the others answer POST /api/v1/follow-up.
type stepJSON struct {
	At         time.Time       `json:"at"`
	Status     incident.Status `json:"status"`
	StatusText string          `json:"status_text"`
}

type messageJSON struct {
	At   time.Time `json:"at"`
	From string    `json:"from"`
	What string    `json:"what"`
	Text string    `json:"text,omitempty"`
}

type addedJSON struct {
	ID         string    `json:"id"`
	ReceivedAt time.Time `json:"received_at"`
}

type standingJSON struct {
	Registered bool                   `json:"registered"` // it is in the safety reps' list
	Read       bool                   `json:"read"`       // by a person
	Status     incident.Status        `json:"status"`
	StatusText string                 `json:"status_text"`
	ReceivedAt time.Time              `json:"received_at"`
	ChangedAt  time.Time              `json:"changed_at"`
	ExpectBy   *time.Time             `json:"expect_by"` // when to expect more; null where nothing more is to come
	Contact    incident.ContactChoice `json:"contact"`
	Steps      []stepJSON             `json:"steps"`
	Messages   []messageJSON          `json:"messages"`
	Photos     int                    `json:"photos"`             // that the report has
	Addition   *addedJSON             `json:"addition,omitempty"` // what was just received
}

// followUpAPI is POST /api/v1/follow-up. The receipt stands in the body: in an
// address it would be kept by every log on the way.
func (s *Service) followUpAPI(c *fiber.Ctx) error {
	q, err := readFollowUp(c)
	if err != nil {
		return err
	}
	st, err := s.followUp(c.UserContext(), web.ClientNetwork(c), q)
	if err != nil {
		return err
	}
	if st.Added != nil && st.Added.replayed {
		c.Set("Idempotency-Replayed", "true")
	}
	return c.JSON(asJSON(st, s.promise, s.now()))
}

func readFollowUp(c *fiber.Ctx) (*filing.FollowUp, error) {
	body := c.Request().Body()
	switch kind, params := mediaType(c); kind {
	case fiber.MIMEApplicationJSON:
		return filing.FollowUpFromJSON(body)
	case fiber.MIMEMultipartForm:
		return filing.FollowUpFromMultipart(body, params["boundary"])
	}
	return nil, fault.New(fault.UnsupportedMedia, "unsupported_media", "Send {\"receipt\":\"…\"} as application/json, or with photos as multipart/form-data in a part named “follow_up”.")
}

func asJSON(st standing, promise Promise, now time.Time) standingJSON {
	answer := standingJSON{Registered: true, Read: st.Read, Status: st.Status, StatusText: string(statusText(st.Status)), ReceivedAt: st.ReceivedAt, ChangedAt: st.ChangedAt,
		Contact: st.Contact, Photos: st.Photos, Steps: make([]stepJSON, 0, len(st.Steps)), Messages: make([]messageJSON, 0, len(st.Messages))}
	if by, _ := st.expect(promise, now); !by.IsZero() {
		answer.ExpectBy = &by
	}
	for _, step := range st.Steps {
		answer.Steps = append(answer.Steps, stepJSON{step.At, step.Status, string(step.text())})
	}
	for _, m := range st.Messages {
		answer.Messages = append(answer.Messages, messageJSON{m.At, m.From, m.What, m.Text})
	}
	if st.Added != nil {
		answer.Addition = &addedJSON{st.Added.id, st.Added.at}
	}
	return answer
}
