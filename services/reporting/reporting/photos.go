package reporting

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/gofiber/fiber/v2"

	"github.com/onrecord/onrecord/pkg/fault"
	"github.com/onrecord/onrecord/pkg/incident"
	"github.com/onrecord/onrecord/pkg/web"
	"github.com/onrecord/onrecord/services/reporting/internal/casework"
	"github.com/onrecord/onrecord/services/reporting/internal/store"
)

// photoView is a photo on the incident's page.
type photoView struct {
	Path, Alt     string
	Added, ISO    string // when it was added; "" of one that came with its report
	Width, Height int
	Original      *originalView
}

// originalView offers to open a photo as it came.
type originalView struct {
	Path, About, SHA256 string
	Reason              wordsField
}

func photosOf(i *incident.Incident, photos []casework.Photo, state formState, errs web.Errors) []photoView {
	views := make([]photoView, len(photos))
	for n, p := range photos {
		path := incidentsPath + i.ID + "/photos/" + strconv.Itoa(p.Number)
		views[n] = photoView{Path: path, Alt: fmt.Sprintf("Photo %d of %d of %s", p.Number, len(photos), i.Ref), Width: p.Width, Height: p.Height}
		if !p.Added.IsZero() {
			views[n].Added, views[n].ISO = clock(p.Added), iso(p.Added)
		}
		if o := p.Original; o != nil {
			id := "original-" + strconv.Itoa(p.Number)
			reason := wordsField{ID: id, Name: "reason", Label: "Why do you open it?", Hint: "It is written into the history. The original may say where and when it was taken.", Message: errs.For(id)}
			if state.action == id {
				reason.Value = state.typed.Reason
			}
			views[n].Original = &originalView{path + "/original", fmt.Sprintf("%s, %d × %d pixels, %d KB", o.ContentType, o.Width, o.Height, (o.Size+1023)/1024), hex.EncodeToString(o.SHA256), reason}
		}
	}
	return views
}

// photoItem is a photo in the API.
type photoItem struct {
	Number      int        `json:"n"`
	ContentType string     `json:"content_type"`
	Size        int        `json:"size"`
	Width       int        `json:"width"`
	Height      int        `json:"height"`
	SHA256      string     `json:"sha256"`
	AddedAt     *time.Time `json:"added_at,omitempty"` // not of one that came with its report
	Original    *photoItem `json:"original,omitempty"`
}

func photoItems(photos []casework.Photo) []photoItem {
	items := make([]photoItem, len(photos))
	for n, p := range photos {
		items[n] = photoItemOf(p.Number, p.Photo)
		if !p.Added.IsZero() {
			items[n].AddedAt = &p.Added
		}
		if p.Original != nil {
			original := photoItemOf(p.Number, p.Original)
			items[n].Original = &original
		}
	}
	return items
}

func photoItemOf(n int, p *store.Photo) photoItem {
	return photoItem{Number: n, ContentType: p.ContentType, Size: p.Size, Width: p.Width, Height: p.Height, SHA256: hex.EncodeToString(p.SHA256)}
}

// photoNumber reads the number in the path. 0 is none.
func photoNumber(c *fiber.Ctx) int {
	n, _ := strconv.Atoi(c.Params("n"))
	return n
}

// showPhoto answers GET /incidents/{id}/photos/{n} and the API's twin of it
// with the picture.
func (s *Service) showPhoto(c *fiber.Ctx) error {
	i, _, err := s.visible(c)
	if err != nil {
		return err
	}
	p, picture, err := s.cases.OpenPhoto(c.UserContext(), i, photoNumber(c))
	if err != nil {
		return err
	}
	return sendPicture(c, p.Photo, picture, fmt.Sprintf(`inline; filename="%s-photo-%d.jpg"`, i.Ref, p.Number))
}

// sendPicture sends what came from outside so that a browser does nothing with
// it but show or save it.
func sendPicture(c *fiber.Ctx, p *store.Photo, picture []byte, disposition string) error {
	c.Set(fiber.HeaderContentType, p.ContentType)
	c.Set(fiber.HeaderContentDisposition, disposition)
	c.Set("Content-Digest", "sha-256=:"+base64.StdEncoding.EncodeToString(p.SHA256)+":")
	c.Set(fiber.HeaderContentSecurityPolicy, "default-src 'none'; sandbox; frame-ancestors 'none'")
	c.Set(fiber.HeaderCacheControl, "no-store")
	return c.Send(picture)
}

// openOriginal answers POST /incidents/{id}/photos/{n}/original with the photo
// as it came, to be saved.
func (s *Service) openOriginal(c *fiber.Ctx) error {
	i, who, err := s.visible(c)
	if err != nil {
		return err
	}
	n, typed := photoNumber(c), edit{Reason: formValue(c, "reason")}
	err = s.sendOriginal(c, i, who, n, typed.Reason)
	if f := fault.As(err); err != nil && f.Kind == fault.Invalid {
		id := "original-" + strconv.Itoa(n)
		return s.renderIncident(c, http.StatusUnprocessableEntity, i, formState{action: id, typed: typed}, web.Errors{{Name: id, Message: f.Fields[0].Message}})
	}
	return err
}

// openOriginalAPI answers POST /api/v1/incidents/{id}/photos/{n}/original.
func (s *Service) openOriginalAPI(c *fiber.Ctx) error {
	i, who, err := s.visible(c)
	if err != nil {
		return err
	}
	var body reasonBody
	if err := decode(c, &body); err != nil {
		return err
	}
	return s.sendOriginal(c, i, who, photoNumber(c), body.Reason)
}

func (s *Service) sendOriginal(c *fiber.Ctx, i *incident.Incident, who web.Principal, n int, reason string) error {
	p, picture, err := s.cases.OpenOriginal(c.UserContext(), i.ID, actorOf(who), n, reason)
	if err != nil {
		return err
	}
	endings := map[string]string{"image/jpeg": "jpg", "image/png": "png", "image/webp": "webp"}
	return sendPicture(c, p, picture, fmt.Sprintf(`attachment; filename="%s-original-%d.%s"`, i.Ref, n, endings[p.ContentType]))
}
