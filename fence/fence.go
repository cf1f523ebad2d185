package fence

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"holdfast"
)

// ErrStale says that a token came late: its version is older than the newest
// that was seen for its key, so its owner does not hold the key any more.
// Asking again with the same token is in vain. Errors of this package that
// mean it carry it in their chain, for [errors.Is].
var ErrStale = errors.New("the version is older than the newest seen")

// Gate lets a function run in the name of tokens. [Guard] is one; another may
// keep its versions wherever it likes. All methods may be called at once from
// any number of goroutines.
type Gate interface {
	// Do runs fn once if no token is older than the newest version seen for
	// its key, remembers the versions, and lets no other token of these keys
	// pass until fn has returned. It answers the error of fn, or, without
	// having run fn, ErrStale, a refusal with [holdfast.CodeInvalid], or why
	// it could not tell. When ctx ends before fn runs it answers the cause.
	Do(ctx context.Context, tokens []holdfast.Token, fn func() error) error
}

// staleError is ErrStale with what is known about it.
type staleError struct {
	token  holdfast.Token
	newest uint64 // zero if not known
}

func (e *staleError) Error() string {
	message := fmt.Sprintf("key %q: version %d is older than the newest seen", e.token.Key, e.token.Version)
	if e.newest > 0 {
		message += fmt.Sprintf(", %d", e.newest)
	}
	return message
}

func (e *staleError) Is(target error) bool { return target == ErrStale }

// normal gives the tokens ordered by key, each once. The order is the one in
// which everybody takes several keys, so that nobody waits in a circle. No
// tokens at all are refused: they would let everything pass.
func normal(tokens []holdfast.Token) ([]holdfast.Token, error) {
	if len(tokens) == 0 {
		return nil, holdfast.Invalid("tokens: at least one token is needed")
	}
	for _, token := range tokens {
		if err := holdfast.ValidKey(token.Key); err != nil {
			return nil, err
		}
		if token.Version == 0 || token.Version >= holdfast.VersionEnd {
			return nil, holdfast.Invalid("tokens: key %q: no grant has version %d", token.Key, token.Version)
		}
	}
	tokens = slices.Clone(tokens)
	slices.SortFunc(tokens, func(a, b holdfast.Token) int {
		return cmp.Or(cmp.Compare(a.Key, b.Key), cmp.Compare(a.Version, b.Version))
	})
	tokens = slices.Compact(tokens)
	if len(tokens) > holdfast.MaxKeys {
		return nil, holdfast.Invalid("tokens: %d tokens; at most %d can be shown at once", len(tokens), holdfast.MaxKeys)
	}
	for i := 1; i < len(tokens); i++ {
		if tokens[i].Key == tokens[i-1].Key {
			return nil, holdfast.Invalid("tokens: key %q is shown twice, with different versions", tokens[i].Key)
		}
	}
	return tokens, nil
}
