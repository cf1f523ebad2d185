package client

import (
	"context"
	"errors"
	"fmt"

	"holdfast"
)

// Do holds keys while work runs: it waits for them, calls work, and gives them
// back. The ctx of work ends before the hold can have run out on the server; the
// tokens are what to show to a resource that can refuse a latecomer.
//
// Do returns the error of work. If the hold was lost while work ran, it is
// [ErrLost] in any case, since somebody else may have been at work as well.
func (c *Client) Do(
	ctx context.Context,
	keys []holdfast.Ask,
	work func(ctx context.Context, tokens []holdfast.Token) error,
	options ...Option,
) (err error) {
	held, err := c.Hold(ctx, keys, options...)
	if err != nil {
		return err
	}
	defer func() {
		lost := held.Err()
		ctx, cancel := givingBack(ctx)
		defer cancel()
		// If it fails, what was done is done, and the keys are free when their
		// exp has passed.
		_ = held.Unlock(ctx)
		if gone := held.Err(); errors.Is(gone, ErrEnded) {
			lost = gone // as the unlock has shown, if not before
		}
		switch {
		case lost == nil:
		case err == nil:
			err = lost
		default:
			err = fmt.Errorf("%w; the work ended with: %w", lost, err)
		}
	}()
	return work(held.Context(), held.Tokens())
}
