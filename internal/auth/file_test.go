package auth

import (
	"crypto/sha256"
	"fmt"
	"reflect"
	"strings"
	"testing"
)

func TestAFileIsReadAsItIsWritten(t *testing.T) {
	_, hash := NewToken()
	_, other := NewToken()
	file := new(File)
	for _, e := range []Entry{
		{Name: "billing", SHA256: hash, UID: "billing-", Grants: []Grant{{"invoice/", Lock | Check}, {"invoice/secret/", 0}}},
		{Name: "web", SHA256: other},
		{Name: "ops", Certificate: "ops laptop", Grants: []Grant{{"", Admin | Metrics | List}}},
	} {
		if err := file.Add(e); err != nil {
			t.Fatal(err)
		}
	}
	read, err := ParseFile(file.Text())
	if err != nil || !reflect.DeepEqual(read, file) {
		t.Errorf("got %+v, %v", read, err)
	}
	for want, e := range map[string]Entry{
		"revoke it first":     {Name: "ops", Certificate: "c"},
		"name: must be":       {Name: "\xff", Certificate: "c"},
		"the same as \"ops\"": {Name: "c", Certificate: "ops laptop"},
	} {
		if err := file.Add(e); err == nil || !strings.Contains(err.Error(), want) || len(file.Entries) != 3 {
			t.Errorf("%q is added: %v, want %s", e.Name, err, want)
		}
	}
	if !file.Remove("ops") || file.Remove("ops") || len(file.Entries) != 2 {
		t.Errorf("left %+v", file.Entries)
	}
	if empty, err := ParseFile(new(File).Text()); err != nil || len(empty.Entries) != 0 {
		t.Errorf("empty: %+v, %v", empty, err)
	}
}

func TestATokenIs256RandomBits(t *testing.T) {
	one, hash := NewToken()
	other, _ := NewToken()
	if one == other || len(one) != len("hf_")+43 || hash != sha256.Sum256([]byte(one)) {
		t.Errorf("%s %s %x", one, other, hash)
	}
}

func TestAWrongFileIsRefused(t *testing.T) {
	hash := strings.Repeat("ab", 32)
	entry := func(rest string) string { return `{"tokens":[{"name":"n","sha256":"` + hash + `",` + rest + `}]}` }
	grants := func(n int) string {
		list := []string{}
		for i := range n {
			list = append(list, fmt.Sprintf(`{"prefix":"p%d","verbs":["lock"]}`, i))
		}
		return `"grants":[` + strings.Join(list, ",") + `]`
	}
	for _, test := range []struct{ name, text, want string }{
		{"nothing", ``, ""},
		{"half a file", `{"tokens":[`, ""},
		{"an unknown field", `{"tokenz":[]}`, "tokenz"},
		{"an unknown field in an entry", entry(`"grants":[],"verb":1`), "verb"},
		{"a field twice", `{"tokens":[],"tokens":[]}`, "tokens"},
		{"no name", `{"tokens":[{"sha256":"` + hash + `","grants":[]}]}`, "name: must be 1 to 128"},
		{"a long name", `{"tokens":[{"name":"` + strings.Repeat("n", MaxName+1) + `","sha256":"` + hash + `","grants":[]}]}`, "name: must be 1 to 128"},
		{"a name of two lines", `{"tokens":[{"name":"n\n","sha256":"` + hash + `","grants":[]}]}`, "name: must be 1 to 128"},
		{"a long certificate", `{"tokens":[{"name":"n","certificate":"` + strings.Repeat("c", MaxName+1) + `","grants":[]}]}`, "certificate: must be a name"},
		{"more than a hash", `{"tokens":[{"name":"n","sha256":"` + hash + `a","grants":[]}]}`, "sha256: must be 64"},
		{"known by nothing", `{"tokens":[{"name":"n","grants":[]}]}`, "needs either sha256 or certificate"},
		{"known by two things", entry(`"certificate":"c","grants":[]`), "needs either sha256 or certificate"},
		{"half a hash", `{"tokens":[{"name":"n","sha256":"abcd","grants":[]}]}`, "sha256: must be 64 hexadecimal digits"},
		{"no hash", `{"tokens":[{"name":"n","sha256":"` + strings.Repeat("x", 64) + `","grants":[]}]}`, "sha256: must be 64"},
		{"an unknown verb", entry(`"grants":[{"prefix":"a","verbs":["lick"]}]`), `"lick" is no verb: they are lock, check, list, watch, force, admin, metrics`},
		{"admin of some keys", entry(`"grants":[{"prefix":"a","verbs":["lock","admin"]}]`), `admin on "a"`},
		{"metrics of some keys", entry(`"grants":[{"prefix":"a","verbs":["metrics"]}]`), `metrics on "a"`},
		{"two grants on a prefix", entry(`"grants":[{"prefix":"a","verbs":[]},{"prefix":"a","verbs":[]}]`), `two on "a"`},
		{"a prefix that is none", entry(`"grants":[{"prefix":"\u0000","verbs":[]}]`), "begins no key"},
		{"a prefix that is too long", entry(`"grants":[{"prefix":"` + strings.Repeat("x", 513) + `","verbs":[]}]`), "begins no key"},
		{"a uid that is none", entry(`"uid":"\u0001","grants":[]`), "begins no uid"},
		{"too many grants", entry(grants(MaxGrants + 1)), "257; at most 256"},
		{"a name twice", `{"tokens":[{"name":"n","certificate":"c","grants":[]},{"name":"n","certificate":"d","grants":[]}]}`, "two entries of that name"},
		{"a hash twice", `{"tokens":[{"name":"n","sha256":"` + hash + `","grants":[]},{"name":"m","sha256":"` + hash + `","grants":[]}]}`, `the same as "n"`},
		{"a certificate twice", `{"tokens":[{"name":"n","certificate":"c","grants":[]},{"name":"m","certificate":"c","grants":[]}]}`, `the same as "n"`},
	} {
		if _, err := ParseFile([]byte(test.text)); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %s", test.name, err, test.want)
		}
	}
	for _, text := range []string{
		entry(grants(MaxGrants)),
		entry(`"grants":[{"prefix":"` + strings.Repeat("x", 512) + `","verbs":[]}]`),
		`{"tokens":[{"name":"` + strings.Repeat("n", MaxName) + `","sha256":"` + hash + `","grants":[]}]}`,
	} {
		if _, err := ParseFile([]byte(text)); err != nil {
			t.Error(err)
		}
	}
}
