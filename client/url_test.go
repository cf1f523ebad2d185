package client_test

import (
	"testing"

	"holdfast/client"
)

// Whoever puts a password where it has no place finds it in no log.
func TestAnErrorAboutAURLShowsNoPassword(t *testing.T) {
	for text, want := range map[string]string{
		"https://u:secret@h":       `server "…@h": must be a scheme, a host and a path, and nothing else`,
		"https://u:secret@again@h": `server "…@h": must be a scheme, a host and a path, and nothing else`,
		"u:secret@h:3000":          `server "…@h:3000": must be a scheme, a host and a path, and nothing else`,
		"redis://:secret@h":        `server "…@h": must begin with http:// or https://`,
		"https://u:secret%zz@h":    `server "…@h": is no URL`,
		"https://u:secret/more@h":  `server "…@h": is no URL`,
	} {
		_, err := client.New(text)
		if err == nil || err.Error() != want {
			t.Errorf("%s: %v", text, err)
		}
	}
}
