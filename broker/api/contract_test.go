package api_test

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/broker/api"
	"github.com/deskstorm/deskstorm/broker/client"
)

//go:embed openapi.yaml
var openAPI []byte

// contract holds requests and answers against openapi.yaml.
type contract struct {
	t   *testing.T
	doc *openapi3.T
	mux *http.ServeMux // knows the document's paths
}

// document is openapi.yaml, read once: it is the slowest part of the tests.
var document = sync.OnceValues(func() (*openapi3.T, error) {
	loader := openapi3.NewLoader()
	doc, err := loader.LoadFromData(openAPI)
	if err != nil {
		return nil, err
	}
	return doc, doc.Validate(loader.Context)
})

func newContract(t *testing.T) *contract {
	t.Helper()
	doc, err := document()
	require.NoError(t, err)
	require.True(t, doc.IsOpenAPI31OrLater())
	c := &contract{t: t, doc: doc, mux: http.NewServeMux()}
	for path, item := range doc.Paths.Map() {
		for method := range item.Operations() {
			c.mux.HandleFunc(method+" "+path, func(http.ResponseWriter, *http.Request) {})
		}
	}
	return c
}

// around returns the handler with the contract between it and its clients. Whatever it accepts must be right by the document,
// and so must all its answers. It does not end the test: servers call it on goroutines of their own.
func (c *contract) around(handler http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		assert.NoError(c.t, err)
		r.Body = io.NopCloser(bytes.NewReader(body))
		answer := httptest.NewRecorder()
		handler.ServeHTTP(answer, r)

		input := c.input(r, body)
		if input == nil {
			c.problem(answer)
		} else {
			if answer.Code < 400 {
				assert.NoError(c.t, openapi3filter.ValidateRequest(context.Background(), input), "%s %s", r.Method, r.URL)
			}
			assert.NoError(c.t, openapi3filter.ValidateResponse(context.Background(), &openapi3filter.ResponseValidationInput{
				RequestValidationInput: input, Status: answer.Code, Header: answer.Header(),
				Body: io.NopCloser(bytes.NewReader(answer.Body.Bytes())), Options: input.Options,
			}), "%s %s: %d %s", r.Method, r.URL, answer.Code, answer.Body)
			if answer.Code >= 400 {
				c.problem(answer)
			}
		}
		for name, values := range answer.Header() {
			w.Header()[name] = values
		}
		w.WriteHeader(answer.Code)
		_, _ = w.Write(answer.Body.Bytes())
	})
}

// input is the request as the document sees it, nil if the document has no such operation.
func (c *contract) input(r *http.Request, body []byte) *openapi3filter.RequestValidationInput {
	var input *openapi3filter.RequestValidationInput
	_, pattern := c.mux.Handler(r)
	method, path, _ := strings.Cut(pattern, " ")
	if path == "" {
		return nil
	}
	item := c.doc.Paths.Value(path)
	mux := http.NewServeMux()
	mux.HandleFunc(pattern, func(_ http.ResponseWriter, r *http.Request) {
		values := make(map[string]string)
		for _, name := range []string{"id", "pool", "kind", "key"} {
			if value := r.PathValue(name); value != "" {
				values[name] = value
			}
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		input = &openapi3filter.RequestValidationInput{
			Request: r, PathParams: values,
			Route: &routers.Route{Spec: c.doc, Path: path, PathItem: item, Method: method, Operation: item.GetOperation(method)},
			Options: &openapi3filter.Options{AuthenticationFunc: openapi3filter.NoopAuthenticationFunc,
				IncludeResponseStatus: true},
		}
	})
	mux.ServeHTTP(httptest.NewRecorder(), r.Clone(context.Background()))
	return input
}

// problem wants a problem, whatever was asked.
func (c *contract) problem(answer *httptest.ResponseRecorder) {
	assert.Equal(c.t, "application/problem+json", answer.Header().Get("Content-Type"))
	var value map[string]any
	if !assert.NoError(c.t, json.Unmarshal(answer.Body.Bytes(), &value)) {
		return
	}
	assert.NoError(c.t, c.doc.Components.Schemas["Problem"].Value.VisitJSON(value, openapi3.EnableJSONSchema2020()), "%s", answer.Body)
	assert.EqualValues(c.t, answer.Code, value["status"])
	assert.Equal(c.t, fmt.Sprint("urn:deskstorm:problem:", value["class"]), value["type"])
	assert.Equal(c.t, "urn:deskstorm:request:"+answer.Header().Get("X-Request-Id"), value["instance"])
	assert.Equal(c.t, answer.Header().Get("X-Request-Id"), value["request_id"])
}

// TestEveryRouteIsDescribed: and the reverse, with the right to use it.
func TestEveryRouteIsDescribed(t *testing.T) {
	described := make(map[string]bool)
	for path, item := range newContract(t).doc.Paths.Map() {
		for method, operation := range item.Operations() {
			described[method+" "+path] = operation.Security != nil
		}
	}
	require.Equal(t, api.Routes(), described)
}

// TestEveryClassHasAStatus: those of package client's source, in the table and in openapi.yaml.
func TestEveryClassHasAStatus(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "../client/client.go", nil, 0)
	require.NoError(t, err)
	classes := []client.Class{api.NotFound, api.OperatorOnly}
	ast.Inspect(file, func(n ast.Node) bool {
		if v, ok := n.(*ast.ValueSpec); ok {
			if name, ok := v.Type.(*ast.Ident); ok && name.Name == "Class" {
				text, err := strconv.Unquote(v.Values[0].(*ast.BasicLit).Value)
				require.NoError(t, err)
				classes = append(classes, client.Class(text))
			}
		}
		return true
	})
	require.Greater(t, len(classes), 16)

	statuses := api.Statuses()
	require.Len(t, statuses, len(classes))
	schema := newContract(t).doc.Components.Schemas["Class"].Value
	require.Len(t, schema.Enum, len(classes))
	described := make(map[client.Class]int)
	for class, status := range schema.Extensions["x-status"].(map[string]any) {
		described[client.Class(class)] = int(status.(float64))
	}
	require.Equal(t, statuses, described)
	for _, class := range classes {
		require.Contains(t, statuses, class)
		require.Contains(t, schema.Enum, string(class))
	}
}

func validRequest(input *openapi3filter.RequestValidationInput) bool {
	return openapi3filter.ValidateRequest(context.Background(), input) == nil
}
