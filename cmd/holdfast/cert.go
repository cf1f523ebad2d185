package main

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"holdfast/internal/certs"
)

type certCommand struct {
	CA     certCACommand     `cmd:"" name:"ca" help:"Make an authority, which signs the others."`
	Server certServerCommand `cmd:"" help:"Make a certificate for a server."`
	Client certClientCommand `cmd:"" help:"Make a certificate for a client."`
	Peer   certPeerCommand   `cmd:"" help:"Make a certificate for a node, towards the others of its cluster."`
}

// authorityName is the name of the files of an authority.
const authorityName = "ca"

// certDir is where certificates and their keys are kept.
type certDir struct {
	Dir  string `default:"certs" placeholder:"DIR" help:"Directory for certificates and keys; without it certs."`
	Days int    `placeholder:"N" help:"Days for which it is valid; without it 365, of an authority 3650."`
}

func (d *certDir) life(days int) (time.Duration, error) {
	if d.Days < 0 || d.Days > 36500 {
		return 0, usageError("--days: must be from 1 to 36500")
	}
	return time.Duration(cmp.Or(d.Days, days)) * 24 * time.Hour, nil
}

// keep writes a certificate and its key to files of that name. It never
// replaces one.
func (d *certDir) keep(name string, pair certs.Pair) error {
	if err := os.MkdirAll(d.Dir, 0o700); err != nil {
		return err
	}
	cert, key := d.paths(name)
	if err := writeNew(key, pair.Key, 0o600); err != nil {
		return err
	}
	if err := writeNew(cert, pair.Cert, 0o644); err != nil {
		return errors.Join(err, os.Remove(key))
	}
	fmt.Println(cert)
	fmt.Println(key)
	return nil
}

func (d *certDir) paths(name string) (cert, key string) {
	return filepath.Join(d.Dir, name+".pem"), filepath.Join(d.Dir, name+"-key.pem")
}

func writeNew(path string, text []byte, mode fs.FileMode) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s is there already; remove it, or choose another --dir", path)
	}
	if err != nil {
		return err
	}
	_, err = file.Write(text)
	return errors.Join(err, file.Close())
}

// sign makes a certificate that the authority in the directory signs.
func (d *certDir) sign(kind certs.Kind, name string, hosts []string) error {
	if name == "" || name == authorityName || strings.ContainsAny(name, `/\`) {
		return usageError(fmt.Sprintf("%q cannot be the name of a file", name))
	}
	life, err := d.life(365)
	if err != nil {
		return err
	}
	cert, key := d.paths(authorityName)
	var authority certs.Pair
	if authority.Cert, err = os.ReadFile(cert); err == nil {
		authority.Key, err = os.ReadFile(key)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("there is no authority in %s: make one with holdfast cert ca --dir %s", d.Dir, d.Dir)
	}
	if err != nil {
		return err
	}
	pair, err := authority.New(kind, name, hosts, time.Now(), life)
	if err != nil {
		return err
	}
	return d.keep(name, pair)
}

type certCACommand struct{ certDir }

// Help is what stands between the usage line and the flags.
func (certCACommand) Help() string {
	return `Makes DIR/ca.pem and its key DIR/ca-key.pem. Whoever has the key can make
certificates: keep it away from the servers. The nodes of a cluster should have
an authority of their own, in another directory.`
}

// Run makes an authority.
func (c *certCACommand) Run() error {
	life, err := c.life(3650)
	if err != nil {
		return err
	}
	pair, err := certs.NewAuthority("holdfast authority", time.Now(), life)
	if err != nil {
		return err
	}
	return c.keep(authorityName, pair)
}

type certServerCommand struct {
	certDir
	Name  string   `arg:"" help:"Name of the files."`
	Hosts []string `arg:"" help:"Names and addresses at which clients reach the server."`
}

// Run makes a certificate for a server.
func (c *certServerCommand) Run() error { return c.sign(certs.ForServer, c.Name, c.Hosts) }

type certClientCommand struct {
	certDir
	Name string `arg:"" help:"Who it is: the name that holdfast token new --certificate takes. Also that of the files."`
}

// Run makes a certificate for a client.
func (c *certClientCommand) Run() error { return c.sign(certs.ForClient, c.Name, nil) }

type certPeerCommand struct {
	certDir
	Name  string   `arg:"" help:"Name of the node, and of the files."`
	Hosts []string `arg:"" help:"Names and addresses at which the other nodes reach it."`
}

// Run makes a certificate for a node.
func (c *certPeerCommand) Run() error { return c.sign(certs.ForPeer, c.Name, c.Hosts) }
