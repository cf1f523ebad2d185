package main

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"reflect"
	"strings"
	"sync"
	"unicode"

	"github.com/alecthomas/kong"
	"github.com/joho/godotenv"
)

// dotenvFile is read in the working directory, if it is there.
const dotenvFile = ".env"

// variableTag marks a flag that may also be set by a variable:
//
//	Port port `variable:"PORT"`
//
// It is not kong's own env tag, which knows neither .env nor that an empty
// variable counts as not set.
const variableTag = "variable"

// settings gives a flag that is not on the command line its value: from the
// environment, or else from .env, or else none, and the default counts. An
// empty value is none in both.
type settings struct {
	environment func(name string) string
	dotenv      func() (map[string]string, error) // read once, by the first command that has a variable
}

var _ kong.Resolver = settings{}

func newSettings(environment func(string) string, dotenv string) settings {
	return settings{
		environment: environment,
		dotenv:      sync.OnceValues(func() (map[string]string, error) { return readDotenv(dotenv) }),
	}
}

// Validate is there for the [kong.Resolver] that settings is.
func (settings) Validate(*kong.Application) error { return nil }

// Resolve gives the value for one flag. A value that does not fit the flag is
// refused here, where it is still known where it came from.
func (s settings) Resolve(_ *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
	name := flag.Tag.Get(variableTag)
	if name == "" {
		return nil, nil
	}
	file, err := s.dotenv()
	if err != nil {
		return nil, err
	}
	value, source := s.environment(name), "the environment"
	if value == "" {
		value, source = file[name], dotenvFile
	}
	if value == "" {
		return nil, nil
	}
	scan := kong.ScanFromTokens(kong.Token{Type: kong.FlagValueToken, Value: value})
	trial := reflect.New(flag.Target.Type()).Elem()
	if err := flag.Mapper.Decode(&kong.DecodeContext{Value: flag.Value, Scan: scan}, trial); err != nil {
		return nil, fmt.Errorf("%s in %s: %w", name, source, err)
	}
	return value, nil
}

// helpWithVariable is the help of a flag with the variable that sets it too.
func helpWithVariable(value *kong.Value) string {
	if name := value.Tag.Get(variableTag); name != "" {
		return fmt.Sprintf("%s [%s]", value.Help, name)
	}
	return value.Help
}

// dotenvError says why .env cannot be used. It never shows the text of the
// file, which may hold a password.
type dotenvError struct{ message string }

func (e *dotenvError) Error() string { return e.message }

// readDotenv gives the lines of a .env file as a map; none if there is no
// such file.
func readDotenv(path string) (map[string]string, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		if inner, ok := errors.AsType[*fs.PathError](err); ok {
			err = inner.Err
		}
		return nil, &dotenvError{fmt.Sprintf("%s cannot be read: %v", path, err)}
	}
	lines := strings.TrimPrefix(string(text), "\ufeff") // which some editors put there, and nobody sees
	values, err := parseDotenv(lines)
	if err != nil {
		return nil, &dotenvError{fmt.Sprintf("%s, line %d: not of the form NAME=value", path, badLine(lines))}
	}
	return values, nil
}

// parseDotenv is godotenv, but for what it lets pass: a last line without "="
// as a variable without a name, and names with blanks in them.
func parseDotenv(text string) (map[string]string, error) {
	values, err := godotenv.Unmarshal(text)
	if err != nil {
		return nil, err
	}
	for name := range values {
		if name == "" || strings.ContainsFunc(name, unicode.IsSpace) {
			return nil, fmt.Errorf("no name: %q", name)
		}
	}
	return values, nil
}

// badLine gives the number of the line with which a piece begins that cannot
// be parsed, however many of the lines behind it are added.
func badLine(text string) int {
	lines := strings.SplitAfter(text, "\n")
	begin := 0
	for n := range lines {
		if _, err := parseDotenv(strings.Join(lines[begin:n+1], "")); err == nil {
			begin = n + 1
		}
	}
	return cmp.Or(min(begin+1, len(lines)), 1)
}
