package reporting

import (
	"time"

	"github.com/gofiber/fiber/v2"

	"github.com/onrecord/onrecord/pkg/web"
)

// A notice tells, on the page that follows a change, what was done. Only its
// name travels in the cookie, so that nobody can put words on a page.
const noticeCookie = "notice"

var notices = map[string]string{
	"acknowledge": "Acknowledged. The reporter can see that somebody has read it.",
	"status":      "The status was changed. The reporter can see it.",
	"classify":    "What you decided was saved, and the figures follow it.",
	"note":        "The note was added to the history.",
	"message":     "The message was sent. Whoever holds the receipt reads it when they look.",
	"ask":         "The question was asked. The incident waits for the reporter, who sees it with the receipt.",
	"close":       "The incident is closed. The reporter can see whether it was fixed.",
	"reopen":      "The incident is open again.",
	"set-aside":   "The incident is set aside. It is counted apart, and you can take it back.",
	"take-back":   "The incident is back where it was, and counted.",
	"flood-aside": "They are set aside together. They are counted apart, and can be taken back together or one by one.",
	"flood-back":  "They are back where they were, and counted.",
	"flood-on":    "It has begun and goes on by itself. Open this page again in a moment.",
	"moved":       "The correction was saved. The incident is now at a site that is not one of yours.",
	"added":       "The person was added. Give them their name and password yourself.",
	"password":    "The new password is set. They were signed out everywhere.",
	"disabled":    "The account is disabled and was signed out everywhere.",
	"enabled":     "The account can sign in again.",
	"code":        "The site has a new code. Print its poster and hang it in place of the old one.",
	"sites":       "The sites were imported. The report form lists them now.",
	"signed-out":  "You are signed out.",
	"published":   "The month is published. Managers read this from now on, and it stays as it is.",
	"set-up":      "You are the first administrator. Import your sites next, then add people.",
}

// leaveNotice has the next page tell what was done.
func (s *Service) leaveNotice(c *fiber.Ctx, name string) {
	web.SetCookie(c, noticeCookie, name, time.Minute, s.secure)
}

// takeNotice returns what the page before left to tell, once.
func (s *Service) takeNotice(c *fiber.Ctx) string {
	name := c.Cookies(web.CookieName(noticeCookie, s.secure))
	if name == "" {
		return ""
	}
	web.SetCookie(c, noticeCookie, "", 0, s.secure)
	return notices[name]
}
