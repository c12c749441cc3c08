// Package chatd holds the files that the binary serves: the browser's client and
// the pages.
package chatd

import "embed"

// Files has the folders static and templates.
//
//go:embed static templates
var Files embed.FS
