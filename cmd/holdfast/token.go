package main

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"holdfast/internal/auth"
)

type tokenCommand struct {
	New    tokenNewCommand    `cmd:"" help:"Let somebody in: make a token, add it to the file, and print it."`
	Ls     tokenLsCommand     `cmd:"" help:"List who is let in, and what they may do."`
	Revoke tokenRevokeCommand `cmd:"" help:"Take somebody out of the file."`
}

// authFile is what the commands have in common that read the auth file.
type authFile struct {
	AuthFile nonEmpty `required:"" placeholder:"FILE" variable:"AUTH_FILE" help:"The file that holdfast serve --auth-file reads."`
}

// read reads the file.
func (a *authFile) read() (*auth.File, error) { return readAuthFile(string(a.AuthFile)) }

func readAuthFile(path string) (*auth.File, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("--auth-file: %w", err)
	}
	file, err := auth.ParseFile(text)
	if err != nil {
		return nil, fmt.Errorf("--auth-file: %s: %w", path, err)
	}
	return file, nil
}

// edit changes the file in one step, as whoever reads it sees it. Two edits at
// a time exclude each other: the new file is written beside the old one under
// a name that only one can have. It stays that of its owner: the service, of
// which an administrator edits it, must be able to read it.
func (a *authFile) edit(change func(*auth.File) error) (err error) {
	path := string(a.AuthFile)
	if target, err := filepath.EvalSymlinks(path); err == nil {
		path = target
	}
	beside := path + ".new"
	next, err := os.OpenFile(beside, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("--auth-file: %s is there: somebody is changing the file, or was cut off while doing so; then remove it", beside)
	}
	if err != nil {
		return fmt.Errorf("--auth-file: %w", err)
	}
	defer func() {
		next.Close()
		if err != nil {
			os.Remove(beside)
		}
	}()
	file, mode := new(auth.File), fs.FileMode(0o600)
	if info, err := os.Stat(path); err == nil {
		mode = info.Mode().Perm()
		if err := giveTo(next, info); err != nil {
			return fmt.Errorf("--auth-file: it would not be its owner's any more: %w", err)
		}
		if file, err = a.read(); err != nil {
			return err
		}
	}
	if err := change(file); err != nil {
		return err
	}
	_, err = next.Write(file.Text())
	if err := errors.Join(err, next.Chmod(mode), next.Sync(), next.Close()); err != nil {
		return fmt.Errorf("--auth-file: %w", err)
	}
	return os.Rename(beside, path)
}

// grant is PREFIX=VERB,VERB… on the command line.
type grant auth.Grant

// UnmarshalText reads a grant. The verbs stand behind the last =, so that a
// key may contain others; without any the prefix is an exception.
func (g *grant) UnmarshalText(text []byte) error {
	at := strings.LastIndexByte(string(text), '=')
	if at < 0 {
		return fmt.Errorf("must be PREFIX=VERB,VERB…, not %q", text)
	}
	verbs, err := auth.ParseVerbs(strings.FieldsFunc(string(text[at+1:]), func(r rune) bool { return r == ',' }))
	if err != nil {
		return err
	}
	*g = grant{string(text[:at]), verbs}
	return nil
}

type tokenNewCommand struct {
	authFile
	Grant       []grant  `sep:"none" placeholder:"PREFIX=VERB,…" help:"Allow the verbs on keys that begin so: lock, check, list, watch, force. May be given several times; of several that fit a key the longest prefix decides alone, and one without verbs is an exception. Behind the empty prefix, also admin and metrics."`
	UID         nonEmpty `name:"uid" placeholder:"PREFIX" help:"Allow only uids that begin so."`
	Certificate nonEmpty `placeholder:"NAME" help:"Make no token: let in whoever has a client certificate with this common name."`
	Name        string   `arg:"" help:"Name for people, logs and revoke."`
}

// Help is what stands between the usage line and the flags.
func (tokenNewCommand) Help() string {
	return `Prints the token, which is kept nowhere: the file has only its SHA-256. A server
that runs takes the change within a second.

    holdfast token new --auth-file auth.json --grant invoice/=lock,check --uid billing- billing
    holdfast token new --auth-file auth.json --grant =list,watch,admin,metrics ops

Without a grant nothing is allowed.`
}

// Run adds an entry to the file, which it makes if there is none.
func (c *tokenNewCommand) Run() error {
	e := auth.Entry{Name: c.Name, Certificate: string(c.Certificate), UID: string(c.UID)}
	for _, g := range c.Grant {
		e.Grants = append(e.Grants, auth.Grant(g))
	}
	token := ""
	if c.Certificate == "" {
		token, e.SHA256 = auth.NewToken()
	}
	err := c.edit(func(file *auth.File) error {
		if err := file.Add(e); err != nil {
			return usageError(err.Error())
		}
		return nil
	})
	if err != nil || token == "" {
		return err
	}
	if _, err := fmt.Println(token); err != nil {
		// Nobody can use it, and the name is to be had again.
		return errors.Join(err, c.edit(func(file *auth.File) error { file.Remove(c.Name); return nil }))
	}
	return nil
}

type tokenLsCommand struct{ authFile }

// Run lists the file.
func (c *tokenLsCommand) Run() error {
	file, err := c.read()
	if err != nil {
		return err
	}
	t := newTable("NAME", "KNOWN BY", "UIDS", "GRANTS")
	for _, e := range file.Entries {
		by := "token"
		if e.Certificate != "" {
			by = "certificate " + e.Certificate
		}
		var grants []string
		for _, g := range e.Grants {
			grants = append(grants, g.Prefix+"="+g.Verbs.String())
		}
		t.row(e.Name, by, cmp.Or(e.UID, "*"), strings.Join(grants, " "))
	}
	return t.flush()
}

type tokenRevokeCommand struct {
	authFile
	Name string `arg:"" help:"Name of the entry."`
}

// Help is what stands between the usage line and the flags.
func (tokenRevokeCommand) Help() string {
	return `A server that runs takes the change within a second: calls are refused, and
events end with the next one. What is held stays held until its exp has passed,
and what stands in line stays there.`
}

// Run takes an entry out of the file.
func (c *tokenRevokeCommand) Run() error {
	return c.edit(func(file *auth.File) error {
		if !file.Remove(c.Name) {
			return fmt.Errorf("--auth-file: nobody in %s is called %q", c.AuthFile, c.Name)
		}
		return nil
	})
}
