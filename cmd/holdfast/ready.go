package main

import (
	"context"
	"log/slog"
	"time"
)

// lookEvery is how often watchReady looks.
const lookEvery = time.Second

// watchReady says in the log when the service becomes ready, when it is not
// any more, and why, and tells the supervisor; until ctx ends.
func watchReady(ctx context.Context, log *slog.Logger, ready func(context.Context) error) {
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	for was := "unknown"; ; {
		now := whyNotReady(ctx, ready)
		switch {
		case ctx.Err() != nil:
			return
		case now == was:
		case now == "":
			log.Info("ready")
			notify(log, notifyStatus+"ready")
		default:
			log.Warn("not ready", "reason", now)
			notify(log, notifyStatus+"not ready: "+now)
		}
		was = now
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

// whyNotReady is what is in the way, or "" if nothing is.
func whyNotReady(ctx context.Context, ready func(context.Context) error) string {
	if ready == nil {
		return ""
	}
	ctx, cancel := context.WithTimeout(ctx, lookEvery)
	defer cancel()
	if err := ready(ctx); err != nil {
		return plain(err)
	}
	return ""
}

// logStopping says why the service stops, and who is affected.
func logStopping(log *slog.Logger, store *store, reason error) {
	ctx, cancel := context.WithTimeout(context.Background(), lookEvery)
	defer cancel()
	attrs := []any{"reason", reason}
	if locks, err := store.locks(ctx); err == nil {
		attrs = append(attrs, "holds", locks.Holds, "waiters", locks.Waiters)
	}
	log.Info("stopping", attrs...)
}
