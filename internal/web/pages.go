package web

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html/template"
	"io"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/labstack/echo/v4"
	"golang.org/x/text/language"
)

// pages renders the templates and serves the static files.
//
// The files' URLs carry a hash of all of them, so that a browser may keep them
// for ever and a page never mixes old and new ones. Another hash, as in the
// minutes in which two versions of chatd run beside one another, gets this
// version's file, which the browser must not keep.
type pages struct {
	files fs.FS
	dev   bool
	hash  string
	html  map[string]*template.Template

	languages language.Matcher
	words     []map[string]any // by the matcher's index, as templates/strings has them
}

// Cookies by which the page says what a person has chosen and the server needs
// to know: the page is in this language and these colours from its first moment.
const (
	languageCookie = "lang"
	themeCookie    = "theme" // light, dark; anything else is what the system wants
)

var pageNames = []string{"login.html", "register.html", "name.html", "account.html", "admin.html", "audit.html", "chat.html", "error.html"}

func newPages(files fs.FS, dev bool) (*pages, error) {
	// Not every system knows these, and nosniff makes a wrong one fatal.
	for ext, kind := range map[string]string{".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8", ".svg": "image/svg+xml", ".webmanifest": "application/manifest+json"} {
		if err := mime.AddExtensionType(ext, kind); err != nil {
			return nil, err
		}
	}
	p := &pages{files: files, dev: dev}
	return p, p.load()
}

func (p *pages) load() error {
	h := sha256.New()
	err := fs.WalkDir(p.files, "static", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := fs.ReadFile(p.files, name)
		fmt.Fprintln(h, name, len(data))
		h.Write(data)
		return err
	})
	if err != nil {
		return fmt.Errorf("read static files: %w", err)
	}
	p.hash = hex.EncodeToString(h.Sum(nil)[:8])
	modules, err := imports(p.files, "js/main.js")
	if err != nil {
		return err
	}
	p.html = map[string]*template.Template{}
	functions := template.FuncMap{
		"asset":   func(name string) string { return "/static/" + p.hash + "/" + name },
		"modules": func() []string { return modules },
		"fill":    func(words, key, value string) string { return strings.ReplaceAll(words, "{"+key+"}", value) },
		"word":    word,
	}
	for _, name := range pageNames {
		t := template.New("layout.html").Funcs(functions)
		if t, err = t.ParseFS(p.files, "templates/layout.html", "templates/"+name); err != nil {
			return fmt.Errorf("parse page: %w", err)
		}
		p.html[name] = t
	}
	return p.loadWords()
}

// loadWords reads what the pages say, a file for each language. Who wants none of
// them gets the first, English.
func (p *pages) loadWords() error {
	names, err := fs.Glob(p.files, "templates/strings/*.json")
	if err != nil {
		return err
	}
	names = append([]string{"templates/strings/en.json"}, names...)
	var tags []language.Tag
	p.words = nil
	for i, name := range names {
		if i > 0 && name == names[0] {
			continue
		}
		data, err := fs.ReadFile(p.files, name)
		if err != nil {
			return fmt.Errorf("read words: %w", err)
		}
		tag, err := language.Parse(strings.TrimSuffix(path.Base(name), ".json"))
		if err != nil {
			return fmt.Errorf("language of %s: %w", name, err)
		}
		words := map[string]any{}
		if err := json.Unmarshal(data, &words); err != nil {
			return fmt.Errorf("read %s: %w", name, err)
		}
		tags, p.words = append(tags, tag), append(p.words, words)
	}
	p.languages = language.NewMatcher(tags)
	return nil
}

var importPattern = regexp.MustCompile(`(?m)^(?:import|export) [^;']*'(\.[^']+)';`)

// imports returns what a module needs to run, itself left out: the modules that
// it imports, and what these import. A browser that hears of all of them with
// the page need not find one by reading another.
func imports(files fs.FS, module string) ([]string, error) {
	found := []string{module}
	for i := 0; i < len(found); i++ {
		text, err := fs.ReadFile(files, path.Join("static", found[i]))
		if err != nil {
			return nil, fmt.Errorf("imports of %s: %w", module, err)
		}
		for _, match := range importPattern.FindAllSubmatch(text, -1) {
			if name := path.Join(path.Dir(found[i]), string(match[1])); !slices.Contains(found, name) {
				found = append(found, name)
			}
		}
	}
	return found[1:], nil
}

// wordsFor returns the words in the language that a person has chosen on the page,
// else in the one that their browser asks for.
func (p *pages) wordsFor(r *http.Request) map[string]any {
	_, i := language.MatchStrings(p.languages, chosen(r, languageCookie), r.Header.Get("Accept-Language"))
	return p.words[i]
}

func chosen(r *http.Request, cookie string) string {
	c, err := r.Cookie(cookie)
	if err != nil {
		return ""
	}
	return c.Value
}

// word returns one word of a group, as "errors" and a code, or what stands in for it.
func word(words map[string]any, group, key, instead string) string {
	if of, ok := words[group].(map[string]any); ok {
		if s, ok := of[key].(string); ok {
			return s
		}
	}
	return instead
}

// render answers with a page. It adds T, the words of the person's language, and
// Theme to the data.
func (p *pages) render(c echo.Context, status int, name string, data map[string]any) error {
	if p.dev {
		fresh, err := newPages(p.files, false)
		if err != nil {
			return err
		}
		p = fresh
	}
	data["T"] = p.wordsFor(c.Request())
	data["Theme"] = ""
	if theme := chosen(c.Request(), themeCookie); theme == "light" || theme == "dark" {
		data["Theme"] = theme
	}
	var b bytes.Buffer
	if err := p.html[name].ExecuteTemplate(&b, "layout", data); err != nil {
		return fmt.Errorf("render %s: %w", name, err)
	}
	return c.HTMLBlob(status, b.Bytes())
}

func (p *pages) static(c echo.Context) error {
	name := path.Join("static", path.Clean("/"+c.Param("*")))
	f, err := p.files.Open(name)
	if err != nil {
		return echo.ErrNotFound
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || info.IsDir() {
		return echo.ErrNotFound
	}
	if c.Param("hash") == p.hash && !p.dev {
		c.Response().Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	}
	data, err := io.ReadAll(f)
	if err != nil {
		return err
	}
	if ext := path.Ext(name); ext == ".js" || ext == ".css" {
		// What says how a page behaves says nothing of a script. Of forty modules it is a fifth of what they weigh.
		for _, header := range documentHeaders {
			c.Response().Header().Del(header)
		}
	}
	return c.Blob(http.StatusOK, mime.TypeByExtension(path.Ext(name)), data)
}
