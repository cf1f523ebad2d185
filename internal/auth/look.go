package auth

import (
	"context"
	"iter"

	"holdfast"
)

// What is seen of many keys at once.

// last is a string that sorts behind what most keys have at its place.
const last = "\U0010FFFF"

// List gives those keys on which the verb list is allowed. It is refused if
// that can be none with the prefix that was asked for.
func (g *guard) List(ctx context.Context, req holdfast.ListRequest) (holdfast.Page, error) {
	e, err := current(ctx)
	if err != nil {
		return holdfast.Page{}, err
	}
	if req, err = req.Normal(); err != nil {
		return holdfast.Page{}, err
	}
	if len(e.grants.within(List, req.Prefix)) == 0 {
		return holdfast.Page{}, e.noneUnder(List, req.Prefix)
	}
	return g.list(ctx, e, List, req)
}

func (e *entry) noneUnder(verb Verbs, prefix string) error {
	if prefix == "" {
		return forbidden("%q has no grant to %v any key", e.Name, verb)
	}
	return forbidden("prefix %q: %q has no grant to %v any key that begins so", prefix, e.Name, verb)
}

// list gives a page of the keys on which a verb is allowed. It goes through
// the prefixes under which there can be some, and leaves out the rest.
func (g *guard) list(ctx context.Context, e *entry, verb Verbs, req holdfast.ListRequest) (holdfast.Page, error) {
	var page holdfast.Page
	roots := e.grants.within(verb, req.Prefix)
	for i, root := range roots {
		part := req
		part.Prefix = root
		for more := true; more; more = part.After != "" {
			some, err := g.service.List(ctx, part)
			if err != nil {
				return holdfast.Page{}, err
			}
			for n, lock := range some.Locks {
				if !e.grants.allow(verb, lock.Key) {
					continue
				}
				page.Locks = append(page.Locks, lock)
				if len(page.Locks) == req.Limit {
					if n < len(some.Locks)-1 || some.Next != "" || i < len(roots)-1 {
						page.Next = lock.Key
					}
					return page, nil
				}
			}
			part.After = e.goOn(verb, some.Next)
		}
	}
	return page, nil
}

// goOn gives the key behind which a list goes on that has come to next: if
// nothing around that is allowed, behind all of it.
func (e *entry) goOn(verb Verbs, next string) string {
	if around := e.grants.exception(verb, next); around != "" && len(around)+len(last) <= holdfast.MaxKey {
		return max(next, around+last)
	}
	return next
}

// Watch follows the events on keys on which the verb watch is allowed, as long
// as it is. It is refused if that can be none with the prefix that was asked
// for.
func (g *guard) Watch(ctx context.Context, req holdfast.WatchRequest) (iter.Seq2[holdfast.Event, error], error) {
	e, err := current(ctx)
	if err != nil {
		return nil, err
	}
	if req, err = req.Normal(); err != nil {
		return nil, err
	}
	within := e.grants.within(Watch, req.Prefix)
	if len(within) == 0 {
		return nil, e.noneUnder(Watch, req.Prefix)
	}
	if len(within) == 1 {
		req.Prefix = within[0]
	}
	watched, err := g.service.Watch(ctx, req)
	if err != nil {
		return nil, err
	}
	return func(yield func(holdfast.Event, error) bool) {
		for event, err := range watched {
			e, gone := current(ctx)
			switch {
			case err != nil:
			case gone != nil:
				yield(holdfast.Event{}, gone)
				return
			case event.Type != holdfast.EventGap && !e.grants.allow(Watch, event.Key):
				continue
			}
			if !yield(event, err) {
				return
			}
		}
	}, nil
}
