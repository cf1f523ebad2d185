package feed

import "holdfast"

// Follow is Publish for events that carry the IDs of another place, where they
// are counted one by one: first is that of the first one. What is known already
// is left out, and a jump is a gap. A feed that follows must not Publish.
func (f *Feed) Follow(first uint64, events []holdfast.Event) {
	f.mu.Lock()
	if first > f.next || f.interrupted {
		f.goOnFrom(first)
	}
	known := min(f.next-first, uint64(len(events)))
	f.mu.Unlock()
	f.Publish(events[known:])
}

// Interrupt says that events may be missed from now on, until Resume or Follow
// tells where the other place has come to.
func (f *Feed) Interrupt() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.interrupted = true
}

// Resume ends an interruption: next is the ID of the next event. Watchers see a
// gap if there have been others in between.
func (f *Feed) Resume(next uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.interrupted {
		f.goOnFrom(next)
	}
}

// Next is the ID that the next event will have, as far as is known.
func (f *Feed) Next() uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.next
}

// goOnFrom forgets all events, unless none is missing before next.
func (f *Feed) goOnFrom(next uint64) {
	f.interrupted = false
	if next == f.next {
		return
	}
	f.ring, f.next = nil, next
	if f.news != nil {
		close(f.news)
		f.news = nil
	}
}
