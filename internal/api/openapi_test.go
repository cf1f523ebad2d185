package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/pb33f/libopenapi"
	validator "github.com/pb33f/libopenapi-validator"
	"github.com/pb33f/libopenapi-validator/config"
	validation "github.com/pb33f/libopenapi-validator/errors"
)

// document is openapi.yaml as the validator understands it. It is strict:
// fields that the document does not mention are wrong, in answers too.
var document = sync.OnceValues(func() (validator.Validator, error) {
	parsed, err := libopenapi.NewDocument(Document)
	if err != nil {
		return nil, err
	}
	v, errs := validator.NewValidator(parsed, config.WithStrictMode(), config.WithFormatAssertions())
	if len(errs) > 0 {
		return nil, fmt.Errorf("%v", errs)
	}
	return v, nil
})

// checked is a transport that compares everything that goes over it with the
// document.
type checked struct {
	t    testing.TB
	next http.RoundTripper
}

func (c *checked) RoundTrip(request *http.Request) (*http.Response, error) {
	var sent []byte
	if request.Body != nil {
		sent, _ = io.ReadAll(request.Body)
		request.Body = io.NopCloser(bytes.NewReader(sent))
	}
	response, err := c.next.RoundTrip(request)
	if err != nil {
		return response, err
	}
	body, err := io.ReadAll(response.Body)
	response.Body.Close()
	if err != nil {
		return nil, err
	}
	response.Body = io.NopCloser(bytes.NewReader(body))
	if problem := check(request, sent, response, body); problem != "" {
		c.t.Errorf("%s %s %.300s\nanswered %d %.300s\n%s", request.Method, request.URL, sent, response.StatusCode, body, problem)
	}
	return response, nil
}

// check says what of an exchange is not as the document says.
func check(request *http.Request, sent []byte, response *http.Response, body []byte) string {
	doc, err := document()
	if err != nil {
		return err.Error()
	}
	head := request.Method == http.MethodHead
	if outside[response.StatusCode] {
		if head {
			return ""
		}
		return checkShape(body)
	}
	asked := request.Clone(request.Context())
	if head {
		asked.Method = http.MethodGet
	}
	asked.Header = http.Header{}
	asked.Body = nil
	if len(sent) > 0 {
		asked.Header.Set("Content-Type", "application/json") // whatever was said
		asked.Body = io.NopCloser(bytes.NewReader(sent))
		asked.ContentLength = int64(len(sent))
	}
	// Only what is refused may be asked in a way that the document does not
	// allow. The other way round is fine: a locked key is no malformed request.
	if ok, problems := doc.ValidateHttpRequestSync(asked); !ok && response.StatusCode < 400 {
		return "the document refuses the request: " + words(problems)
	}
	if head {
		return ""
	}
	received := *response
	received.Body = io.NopCloser(bytes.NewReader(body))
	asked.Body = nil
	if ok, problems := doc.ValidateHttpResponse(asked, &received); !ok {
		return "the document refuses the answer: " + words(problems)
	}
	return ""
}

// outside are the refusals that come before there is a path to look up.
var outside = map[int]bool{404: true, 405: true}

// checkShape says what is wrong with a refusal that belongs to no path.
func checkShape(body []byte) string {
	var refusal map[string]any
	if err := json.Unmarshal(body, &refusal); err != nil {
		return err.Error()
	}
	code, _ := refusal["error"].(string)
	message, _ := refusal["message"].(string)
	if code == "" || message == "" || len(refusal) != 2 {
		return "not the shape of a refusal"
	}
	return ""
}

func words(problems []*validation.ValidationError) string {
	var all strings.Builder
	for _, problem := range problems {
		fmt.Fprintf(&all, "%s: %s\n", problem.Message, problem.Reason)
		for _, detail := range problem.SchemaValidationErrors {
			fmt.Fprintf(&all, "  %s: %s\n", detail.FieldPath, detail.Reason)
		}
	}
	return all.String()
}

func TestTheDocumentIsOpenAPI31(t *testing.T) {
	doc, err := document()
	if err != nil {
		t.Fatal(err)
	}
	if ok, problems := doc.ValidateDocument(); !ok {
		t.Error(words(problems))
	}
	if !bytes.HasPrefix(Document, []byte("openapi: 3.1.")) {
		t.Errorf("begins with %.20s", Document)
	}
}

// By its name in figures, too, which is the operationId.
func TestEveryRouteIsInTheDocumentAndTheOtherWayRound(t *testing.T) {
	parsed, err := libopenapi.NewDocument(Document)
	if err != nil {
		t.Fatal(err)
	}
	model, err := parsed.BuildV3Model()
	if err != nil {
		t.Fatal(err)
	}
	var documented, routed []string
	for path, item := range model.Model.Paths.PathItems.FromOldest() {
		for method, operation := range item.GetOperations().FromOldest() {
			line := strings.ToUpper(method) + " " + path + " " + operation.OperationId
			for _, parameter := range slices.Concat(item.Parameters, operation.Parameters) {
				if parameter.In == "query" {
					line += " " + parameter.Name
				}
			}
			documented = append(documented, line)
		}
	}
	for _, route := range routes {
		routed = append(routed, strings.Join(append([]string{route.method, route.path, route.operation}, route.query...), " "))
	}
	slices.Sort(documented)
	slices.Sort(routed)
	if !slices.Equal(documented, routed) {
		t.Errorf("documented:\n  %s\nrouted:\n  %s", strings.Join(documented, "\n  "), strings.Join(routed, "\n  "))
	}
}

// The check itself must be able to fail.
func TestTheCheckAgainstTheDocumentFindsWhatIsWrong(t *testing.T) {
	const grant = `{"tokens":[{"key":"a","version":1}],"exp":1000}`
	const lock = `{"uid":"u","keys":"a"}`
	for _, test := range []struct {
		name, method, path, sent string
		status                   int
		body                     string
		wrong                    bool
	}{
		{"all in order", "POST", "/lock", lock, 200, grant, false},
		{"a path that is not there", "POST", "/lick", lock, 200, grant, true},
		{"a method that is not there", "PUT", "/lock", lock, 200, grant, true},
		{"an undocumented status", "POST", "/lock", lock, 201, grant, true},
		{"an unknown field that is accepted", "POST", "/lock", `{"uid":"u","keys":"a","expp":1}`, 200, grant, true},
		{"an unknown field that is refused", "POST", "/lock", `{"uid":"u","keys":"a","expp":1}`, 400, `{"error":"invalid","message":"m"}`, false},
		{"a missing field that is accepted", "POST", "/lock", `{"keys":"a"}`, 200, grant, true},
		{"an exp of 0 that is accepted", "POST", "/lock", `{"uid":"u","keys":"a","exp":0}`, 200, grant, true},
		{"a key that is mixed up", "POST", "/lock", `{"uid":"u","keys":[{"kay":"a"}]}`, 200, grant, true},
		{"keys of both kinds", "POST", "/lock", `{"uid":"u","keys":["a",{"key":"b","mode":"shared"}]}`, 200, grant, false},
		{"an answer without exp", "POST", "/lock", lock, 200, `{"tokens":[]}`, true},
		{"an answer with something new", "POST", "/lock", lock, 200, `{"tokens":[],"exp":1,"new":1}`, true},
		{"a token with something new", "POST", "/lock", lock, 200, `{"tokens":[{"key":"a","version":1,"new":1}],"exp":1}`, true},
		{"a version that is a string", "POST", "/lock", lock, 200, `{"tokens":[{"key":"a","version":"1"}],"exp":1}`, true},
		{"an unknown code", "POST", "/lock", lock, 400, `{"error":"broken","message":"m"}`, true},
		{"no credentials", "POST", "/lock", lock, 401, `{"error":"unauthenticated","message":"m"}`, false},
		{"locked without blockers", "POST", "/lock", lock, 409, `{"error":"locked","message":"m"}`, true},
		{"locked", "POST", "/lock", lock, 409,
			`{"error":"locked","message":"m","blockers":[{"key":"a","uid":"u","mode":"shared","waiting":true}]}`, false},
		{"locked with something new", "POST", "/lock", lock, 409,
			`{"error":"locked","message":"m","blockers":[{"key":"a","uid":"u","mode":"shared","waiting":true,"new":1}]}`, true},
		{"a parameter that is not there", "GET", "/locks?offset=1", "", 200, `{"locks":[]}`, true},
		{"a parameter out of range", "GET", "/locks?limit=0", "", 200, `{"locks":[]}`, true},
		{"a shape that no refusal has", "GET", "/nowhere", "", 404, `{"message":"m"}`, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			request, err := http.NewRequest(test.method, "http://localhost"+test.path, nil)
			if err != nil {
				t.Fatal(err)
			}
			response := &http.Response{StatusCode: test.status, Header: http.Header{"Content-Type": typeJSON}}
			problem := check(request, []byte(test.sent), response, []byte(test.body))
			if (problem != "") != test.wrong {
				t.Errorf("found %q", problem)
			}
		})
	}
}

func TestTheDocumentIsServed(t *testing.T) {
	answer := open(t).ask("GET", "/openapi.yaml", "").is(200)
	if answer.body != string(Document) || answer.header.Get("Content-Type") != "application/yaml" {
		t.Errorf("%d bytes of %s", len(answer.body), answer.header.Get("Content-Type"))
	}
}
