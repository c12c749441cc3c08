package chatd_test

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// requirements are the rows that docs/security.md must have, S1 to this.
const requirements = 65

// What docs/security.md says of tests is held to the tests that there are.
func TestEachRequirementNamesTestsThatExist(t *testing.T) {
	doc, err := os.ReadFile("docs/security.md")
	if err != nil {
		t.Fatal(err)
	}
	golang, scripts := sources(t)
	names := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^func (\w+)\(\w+ \*testing\.[TFB]\)`).FindAllStringSubmatch(golang, -1) {
		names[m[1]] = true
	}
	row := regexp.MustCompile(`(?m)^\| (S\d+) \| (.+) \| (.*) \| (.+) \|$`)
	seen := map[string]bool{}
	for _, m := range row.FindAllStringSubmatch(string(doc), -1) {
		id, how, tests := m[1], m[3], m[4]
		if seen[id] {
			t.Errorf("%s has two rows", id)
		}
		seen[id] = true
		named := 0
		for _, quoted := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(tests, -1) {
			if err := exists(quoted[1], golang, names, scripts); err != nil {
				t.Errorf("%s: %v", id, err)
			}
			named++
		}
		switch {
		case named > 0:
		case tests == "none needed" && strings.HasPrefix(how, "not built"):
		default:
			t.Errorf("%s names no test", id)
		}
	}
	for n := 1; n <= requirements; n++ {
		if id := fmt.Sprintf("S%d", n); !seen[id] {
			t.Errorf("%s has no row", id)
		}
	}
	if len(seen) != requirements {
		t.Errorf("%d rows for %d requirements", len(seen), requirements)
	}
}

// Who finds something is told where to go with it, and what is threatened.
func TestSecurityPolicyIsThere(t *testing.T) {
	text, err := os.ReadFile("SECURITY.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, word := range []string{"report", "security.txt", "docs/security.md", "trusted", "Redis"} {
		if !strings.Contains(string(text), word) {
			t.Errorf("SECURITY.md says nothing of %q", word)
		}
	}
	makefile, err := os.ReadFile("Makefile")
	if err != nil {
		t.Fatal(err)
	}
	all := regexp.MustCompile(`(?m)^test: (.*) ##|^\t@\.ci/fuzz 60 (.*)$`).FindAllSubmatch(makefile, -1)
	if len(all) != 2 {
		t.Fatalf("make test is made of %q", all)
	}
	stages := strings.Fields(string(bytes.Join([][]byte{all[0][1], all[1][2]}, []byte(" "))))
	for _, tool := range []string{"vet", "staticcheck", "govulncheck", "unit", "integration", "browser", "fuzz-beside"} {
		if !slices.Contains(stages, tool) {
			t.Errorf("make test runs no %s", tool)
		}
	}
}

// exists looks for "TestName", "FuzzName", "TestName/Part" or "file.test.js: what it is called".
func exists(test, golang string, names map[string]bool, scripts map[string]string) error {
	if file, title, script := strings.Cut(test, ": "); script {
		if !strings.Contains(scripts[file], title) {
			return fmt.Errorf("%s has no test %q", file, title)
		}
		return nil
	}
	name, part, _ := strings.Cut(test, "/")
	if !names[name] {
		return fmt.Errorf("there is no test %s", name)
	}
	if part != "" && !strings.Contains(golang, `{"`+part+`", `) && !strings.Contains(golang, `t.Run("`+part+`", `) {
		return fmt.Errorf("%s has no part %s", name, part)
	}
	return nil
}

// sources returns all Go tests as one text, and the page's tests by their files' names.
func sources(t *testing.T) (golang string, scripts map[string]string) {
	t.Helper()
	var all strings.Builder
	scripts = map[string]string{}
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() && (d.Name() == "node_modules" || d.Name() == ".git") {
			return fs.SkipDir
		}
		golangTest, script := strings.HasSuffix(path, "_test.go"), strings.HasSuffix(path, ".test.js")
		if !golangTest && !script {
			return nil
		}
		text, err := os.ReadFile(path)
		if script {
			scripts[d.Name()] += string(text) // some names are there twice: in test/js and test/browser
		} else {
			all.Write(text)
			all.WriteByte('\n')
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all.String(), scripts
}
