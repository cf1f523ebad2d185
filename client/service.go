package client

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"holdfast"
	"holdfast/internal/wire"
)

// What a server would not see any more in the JSON, such as bytes that are no
// UTF-8, is refused here. So each call looks at its request before it sends it.

// Lock grants all keys or none. When it has to ask again, it stands in line
// for what is left of req.Wait. Without an Exp the server decides.
//
// When ctx ends, the server is told, and takes the request out of the line.
// If a grant was on its way at that moment, Lock returns it, so that no hold
// is left that nobody knows of: look at the error before you look at ctx.
func (c *Client) Lock(ctx context.Context, req holdfast.LockRequest) (holdfast.Grant, error) {
	grant, _, err := c.lock(ctx, asked{LockRequest: req})
	return grant, err
}

// lock is Lock, and gives how the holds are tied.
func (c *Client) lock(ctx context.Context, req asked) (holdfast.Grant, tie, error) {
	normal, err := req.Normal()
	if err != nil {
		return holdfast.Grant{}, tie{}, err
	}
	normal.Exp = req.Exp
	end := time.Now().Add(normal.Wait) // it stands still with a machine that is suspended, as the deadline of ctx does
	call := &call{
		method: http.MethodPost,
		path:   "lock",
		op:     wire.OpLock,
		bind:   req.bind,
		body: func(dst []byte) ([]byte, time.Duration) {
			normal.Wait = max(0, time.Until(end))
			return wire.AppendLock(dst, normal), normal.Wait
		},
		grants: true,
	}
	body, err := c.ask(ctx, call)
	if err != nil {
		return holdfast.Grant{}, tie{}, err
	}
	grant, err := wire.ReadGrant(body)
	return grant, call.tie, err
}

// Unlock releases the holds that req names exactly. If an answer was lost,
// the keys that the lost one named are missing in this one. A server that has
// too much to do (CodeLimit) is asked again, as one that is away.
func (c *Client) Unlock(ctx context.Context, req holdfast.UnlockRequest) ([]string, error) {
	keys, _, err := c.unlock(ctx, req)
	return keys, err
}

// unlock is Unlock, and says whether no answer was lost.
func (c *Client) unlock(ctx context.Context, req holdfast.UnlockRequest) (_ []string, first bool, err error) {
	req, err = req.Normal()
	if err != nil {
		return nil, false, err
	}
	call := posting(wire.OpUnlock, req, wire.AppendUnlock)
	call.gives = true
	body, err := c.ask(ctx, call)
	if err != nil {
		return nil, false, err
	}
	keys, err := wire.ReadUnlocked(body)
	return keys, call.last == nil, err
}

// Extend starts the life of holds anew. Without an Exp the server decides.
func (c *Client) Extend(ctx context.Context, req holdfast.ExtendRequest) (holdfast.Extension, error) {
	extension, _, err := c.extend(ctx, req, false)
	return extension, err
}

// extend is Extend, and gives the grace of holds that are bound.
func (c *Client) extend(ctx context.Context, req holdfast.ExtendRequest, bind bool) (holdfast.Extension, time.Duration, error) {
	if _, err := req.Normal(); err != nil {
		return holdfast.Extension{}, 0, err
	}
	if req.Tokens != nil && len(req.Tokens) == 0 {
		return holdfast.Extension{}, 0, nil // a server takes it for a mistake
	}
	call := posting(wire.OpExtend, req, wire.AppendExtend)
	call.bind, call.keeps = bind, true
	body, err := c.ask(ctx, call)
	if errors.Is(err, errNoAnswer) && call.last != nil {
		err = call.last // somebody did answer, or said at once that it was not there
	}
	if err != nil {
		return holdfast.Extension{}, 0, err
	}
	extension, err := wire.ReadExtension(body)
	return extension, call.grace, err
}

// Check says whether anybody holds one of the keys.
func (c *Client) Check(ctx context.Context, keys []string) (bool, error) {
	if err := holdfast.ValidKeys(keys); err != nil {
		return false, err
	}
	body, err := c.ask(ctx, posting(wire.OpCheck, keys, wire.AppendCheck))
	if err != nil {
		return false, err
	}
	return wire.ReadChecked(body)
}

// List gives one page of the keys that are held or waited for.
func (c *Client) List(ctx context.Context, req holdfast.ListRequest) (holdfast.Page, error) {
	req, err := req.Normal()
	if err != nil {
		return holdfast.Page{}, err
	}
	query := url.Values{"limit": {strconv.Itoa(req.Limit)}}
	for name, value := range map[string]string{"prefix": req.Prefix, "uid": req.UID, "after": req.After} {
		if value != "" {
			query.Set(name, value)
		}
	}
	if req.Waited {
		query.Set("waited", "true")
	}
	body, err := c.ask(ctx, &call{method: http.MethodGet, path: "locks", query: query})
	if err != nil {
		return holdfast.Page{}, err
	}
	return wire.ReadPage(body)
}

// Get gives the state of one key.
func (c *Client) Get(ctx context.Context, key string) (holdfast.Lock, error) {
	if err := holdfast.ValidKey(key); err != nil {
		return holdfast.Lock{}, err
	}
	body, err := c.ask(ctx, &call{method: http.MethodGet, path: "locks/" + key, escaped: "locks/" + segment(key)})
	if err != nil {
		return holdfast.Lock{}, err
	}
	return wire.ReadState(body)
}

// Force releases all holds on a key. It is not sent again when it may have
// happened: by then the key can have new holders.
func (c *Client) Force(ctx context.Context, req holdfast.ForceRequest) ([]holdfast.Released, error) {
	req, err := req.Normal()
	if err != nil {
		return nil, err
	}
	body, err := c.ask(ctx, &call{
		method:  http.MethodDelete,
		path:    "locks/" + req.Key,
		escaped: "locks/" + segment(req.Key),
		query:   because(req.Reason),
		once:    true,
	})
	if err != nil {
		return nil, err
	}
	return wire.ReadReleased(body)
}

// posting is a call whose body is always the same.
func posting[R any](op wire.Op, req R, write func(dst []byte, req R) []byte) *call {
	return &call{
		method: http.MethodPost,
		path:   op.String(),
		op:     op,
		body:   func(dst []byte) ([]byte, time.Duration) { return write(dst, req), 0 },
	}
}

// because is the query that gives a reason, if there is one.
func because(reason string) url.Values {
	if reason == "" {
		return nil
	}
	return url.Values{"reason": {reason}}
}

// segment writes a key as one segment of a path.
func segment(key string) string {
	if key == "." || key == ".." { // which a proxy would take for directories
		return strings.Repeat("%2E", len(key))
	}
	return url.PathEscape(key)
}
