package raftstore

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
)

// identity is what the directory of a node of a cluster remembers beside the
// log: whose it is. The directory of a store that is alone has none.
type identity struct {
	Cluster  string `json:"cluster"`            // tells this cluster from every other
	ID       string `json:"id"`                 // the node
	Founder  bool   `json:"founder,omitempty"`  // the cluster began with this node
	Admitted bool   `json:"admitted,omitempty"` // the cluster has taken this node in; see [Store.admitted]
	Since    uint64 `json:"since,omitempty"`    // the entry of the log with which it was a member then, if it began with an empty disk
	Removed  bool   `json:"removed,omitempty"`  // the node was taken out of the cluster
}

// identityFile is its place in the directory.
const identityFile = "node.json"

// validID is what the ID of a node may be.
var validID = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

// readIdentity gives the identity in a directory; nil if it has none.
func readIdentity(dir string) (*identity, error) {
	path := filepath.Join(dir, identityFile)
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("the data directory cannot be read: %w", err)
	}
	var i identity
	if err := json.Unmarshal(b, &i); err != nil || i.Cluster == "" || !validID.MatchString(i.ID) {
		return nil, damaged(path, errors.Join(errors.New("it does not say whose it is"), err))
	}
	return &i, nil
}

// write makes a directory that of this node, for good: it is on disk when
// write returns.
func (i *identity) write(dir string) error {
	b, err := json.Marshal(i)
	if err == nil {
		err = writeFile(filepath.Join(dir, identityFile), append(b, '\n'))
	}
	if err != nil {
		return fmt.Errorf("the data directory cannot be written: %w", err)
	}
	return nil
}

// syncFile brings a file to disk, or the names in a directory. Tests put another in
// its place.
var syncFile = (*os.File).Sync

// writeFile replaces a file as a whole.
func writeFile(path string, b []byte) (err error) {
	file, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer os.Remove(file.Name())
	_, err = file.Write(b)
	if err = errors.Join(err, syncFile(file), file.Close()); err != nil {
		return err
	}
	if err := os.Rename(file.Name(), path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}
