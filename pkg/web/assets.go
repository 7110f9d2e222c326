package web

import (
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strings"

	"github.com/gofiber/fiber/v2"
)

// The directory is built by frontend/build.mjs and ignored by git except for
// its .gitignore, so that this pattern matches and Go builds before it exists.
//
//go:embed all:frontend/dist
var dist embed.FS

// ErrAssetsNotBuilt says that the program was compiled before its front end.
var ErrAssetsNotBuilt = errors.New("front-end assets are not built: run `make build` (needs Node 20 or newer and npm)")

// Assets are the built front-end files, by their hashed names.
type Assets struct {
	names map[string]string // logical name → hashed name
	files map[string]*asset // by hashed name
}

type asset struct {
	contentType string
	raw         []byte
	gzip, br    []byte // nil of what is packed already, like a picture
}

// LoadAssets returns the assets built into this program, or ErrAssetsNotBuilt.
func LoadAssets() (*Assets, error) {
	root, err := fs.Sub(dist, "frontend/dist")
	if err != nil {
		return nil, err
	}
	manifest, err := fs.ReadFile(root, "manifest.json")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrAssetsNotBuilt
	}
	if err != nil {
		return nil, err
	}
	a := &Assets{files: make(map[string]*asset)}
	if err := json.Unmarshal(manifest, &a.names); err != nil {
		return nil, fmt.Errorf("front-end manifest: %w", err)
	}
	for _, name := range a.names {
		f := &asset{contentType: contentType(name)}
		if f.raw, err = fs.ReadFile(root, "assets/"+name); err != nil {
			return nil, fmt.Errorf("front-end manifest: %w", err)
		}
		if path.Ext(name) != ".png" {
			if f.gzip, err = fs.ReadFile(root, "assets/"+name+".gz"); err != nil {
				return nil, fmt.Errorf("front-end manifest: %w", err)
			}
			if f.br, err = fs.ReadFile(root, "assets/"+name+".br"); err != nil {
				return nil, fmt.Errorf("front-end manifest: %w", err)
			}
		}
		a.files[name] = f
	}
	return a, nil
}

// Raw returns a built asset's content, for what is served under a name of its
// own. It is an error to ask for one that was not built.
func (a *Assets) Raw(name string) ([]byte, error) {
	if _, err := a.URL(name); err != nil {
		return nil, err
	}
	return a.files[a.names[name]].raw, nil
}

// URL returns the path under which a logical asset is served. It is an error
// to ask for one that was not built, so that a misspelt name cannot ship.
func (a *Assets) URL(name string) (string, error) {
	hashed, ok := a.names[name]
	if !ok {
		return "", fmt.Errorf("no front-end asset %q", name)
	}
	return "/assets/" + hashed, nil
}

// contentType knows a manifest's type, which not every system's table has.
func contentType(name string) string {
	if path.Ext(name) == ".webmanifest" {
		return "application/manifest+json"
	}
	return mime.TypeByExtension(path.Ext(name))
}

// serve answers GET /assets/:file. Names carry a hash of the content, so the
// answer never changes and may be kept for ever.
func (a *Assets) serve(c *fiber.Ctx) error {
	f, ok := a.files[c.Params("file")]
	if !ok {
		return fiber.ErrNotFound
	}
	c.Set(fiber.HeaderContentType, f.contentType)
	c.Set(fiber.HeaderCacheControl, "public, max-age=31536000, immutable")
	c.Set(fiber.HeaderVary, fiber.HeaderAcceptEncoding)
	switch accepts := c.Get(fiber.HeaderAcceptEncoding); {
	case f.br == nil:
	case strings.Contains(accepts, "br"):
		c.Set(fiber.HeaderContentEncoding, "br")
		return c.Status(http.StatusOK).Send(f.br)
	case strings.Contains(accepts, "gzip"):
		c.Set(fiber.HeaderContentEncoding, "gzip")
		return c.Status(http.StatusOK).Send(f.gzip)
	}
	return c.Status(http.StatusOK).Send(f.raw)
}
