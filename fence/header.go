package fence

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"holdfast"
)

// Header is the name of the HTTP header that shows tokens to a resource: for
// each a key, "=" and the version, with commas between several.
//
//	Holdfast-Token: invoice/2031=1790000000000017, customer/7=1790000000000017
//
// The key is percent-encoded wherever it is not plain, a comma and a percent
// sign included; encodeURIComponent and its like do more than enough. It is one
// header, so that no proxy can part a version from its key, and may come
// several times.
const Header = "Holdfast-Token"

// SetTokens shows tokens in the header of a request, in place of those shown
// before; it is the client's side of [Handler]. Without tokens it shows none.
func SetTokens(header http.Header, tokens ...holdfast.Token) {
	if len(tokens) == 0 {
		header.Del(Header)
		return
	}
	shown := make([]string, len(tokens))
	for i, token := range tokens {
		key := strings.ReplaceAll(url.PathEscape(token.Key), "%2F", "/")
		shown[i] = key + "=" + strconv.FormatUint(token.Version, 10)
	}
	header.Set(Header, strings.Join(shown, ", "))
}

// Tokens reads the tokens that a header shows, each once, ordered by key. It
// gives none if there are none, and [holdfast.CodeInvalid] if one is malformed
// or a key is shown with two versions.
func Tokens(header http.Header) ([]holdfast.Token, error) {
	values := header.Values(Header)
	if len(values) == 0 {
		return nil, nil
	}
	var tokens []holdfast.Token
	for _, value := range values {
		for shown := range strings.SplitSeq(value, ",") {
			token, err := readToken(strings.Trim(shown, " \t"))
			if err != nil {
				return nil, err
			}
			tokens = append(tokens, token)
		}
	}
	return normal(tokens)
}

func readToken(shown string) (holdfast.Token, error) {
	cut := strings.LastIndexByte(shown, '=')
	if cut < 0 {
		return holdfast.Token{}, holdfast.Invalid("%s: %q is not a key, \"=\" and a version", Header, shown)
	}
	key, err := url.PathUnescape(shown[:cut])
	if err != nil {
		return holdfast.Token{}, holdfast.Invalid("%s: %q is not percent-encoded", Header, shown[:cut])
	}
	version, err := strconv.ParseUint(shown[cut+1:], 10, 64)
	if err != nil {
		return holdfast.Token{}, holdfast.Invalid("%s: %q is not a version", Header, shown[cut+1:])
	}
	// A copy: whoever keeps the key, such as a Guard, does not keep all of the header with it.
	return holdfast.Token{Key: strings.Clone(key), Version: version}, nil
}

// missing gives a key that none of the tokens names.
func missing(tokens []holdfast.Token, keys []string) (string, bool) {
	for _, key := range keys {
		if !slices.ContainsFunc(tokens, func(t holdfast.Token) bool { return t.Key == key }) {
			return key, true
		}
	}
	return "", false
}
