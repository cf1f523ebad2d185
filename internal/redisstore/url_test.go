package redisstore

import (
	"fmt"
	"strings"
	"testing"
)

func TestURLs(t *testing.T) {
	for url, want := range map[string]string{
		"redis://localhost":           "[localhost:6379] user= password= db=0 tls=false",
		"redis://h:7":                 "[h:7] user= password= db=0 tls=false",
		"redis://[::1]:7/3":           "[[::1]:7] user= password= db=3 tls=false",
		"redis://:p%40w@h":            "[h:6379] user= password=p@w db=0 tls=false",
		"rediss://me:pw@h:7/2":        "[h:7] user=me password=pw db=2 tls=true",
		"redis+sentinel://a,b:7/main": "[a:26379 b:7] user= password= db=0 tls=false main=main",
		"redis+sentinel://u:p@a/main/4?sentinel_password=s": "[a:26379] user=u password=p db=4 tls=false main=main sentinel=s",
		"rediss+cluster://:p@a:1,b:2,c:3":                   "[a:1 b:2 c:3] user= password=p db=0 tls=true",
		"http://h":                                          `error: begins with "http"`,
		"h:6379":                                            "error: does not begin with",
		"redis://a,b":                                       "error: several hosts",
		"redis://h/x":                                       "error: not a number",
		"redis://h/1/2":                                     "error: a part too many",
		"redis://h:x":                                       "error: port",
		"redis+sentinel://a":                                "error: name under which",
		"redis+cluster://a/1":                               "error: no database but 0",
		"redis://h?timeout=3":                               `error: not known here: "timeout"`,
		"redis://user:sec%ret@h":                            "error: special characters",
		"redis://user:sec/ret@h":                            "error: special characters",
		"redis://user:1/sec@h":                              "error: special characters",
		"redis://user:1?sec@h":                              "error: special characters",
		"redis://user:p@1/sec@h":                            "error: special characters",
		"redis+sentinel://u:1/sec?ret@h/main":               "error: special characters",
		"rediss://h?skip_verify=perhaps":                    "error: true or false",
	} {
		option, err := parseURL(url)
		got := fmt.Sprintf("%v user=%s password=%s db=%d tls=%v", option.InitAddress, option.Username, option.Password, option.SelectDB, option.TLSConfig != nil)
		if option.Sentinel.MasterSet != "" {
			got += " main=" + option.Sentinel.MasterSet
		}
		if option.Sentinel.Password != "" {
			got += " sentinel=" + option.Sentinel.Password
		}
		if part, fails := strings.CutPrefix(want, "error: "); fails {
			if err == nil || !strings.Contains(err.Error(), part) || strings.Contains(err.Error(), "sec") {
				t.Errorf("%s: %v; want an error with %q", url, err, part)
			}
		} else if err != nil || got != want {
			t.Errorf("%s:\n got %s, %v\nwant %s", url, got, err, want)
		}
	}
}
