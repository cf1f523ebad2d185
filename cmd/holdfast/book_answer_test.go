package main

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// answers compares answers with what a page says of them. What differs from
// run to run counts as equal:
//
//   - versions, of 16 digits. The first time that the page shows one, it stands
//     for the one that came; from then on for no other, in commands too. Of two,
//     the larger one on the page must have been the larger one.
//   - tokens of owners, which are hf_… on the page: in a command, the last one
//     that came
//   - exp, held and waited in JSON, if they are not whole seconds on the page;
//     an exp must still be no longer than it says there, in whole seconds
//   - times and dates, and durations before "ago" and "left" and in a table
//   - by how much a follower is behind
//   - what was measured: numbers with three decimals, pairs of clients
//   - every number of what a script has measured; see measured
//   - how wide the columns of a table are, and what only makes text bold
//   - "…", which stands for anything in its line, and alone in a line for any
//     number of lines
type answers struct {
	versions map[string]string // by the one on the page
	token    string            // the last one that came
}

var (
	aVersion = regexp.MustCompile(`\b\d{16}\b`)
	aToken   = regexp.MustCompile(`\bhf_[\w-]+`)
	varies   = regexp.MustCompile(strings.Join([]string{
		`(?P<version>\b\d{16}\b)`,
		`(?P<lines>\n*(?m:^…$))`,
		`(?P<any>…)`,
		`(?P<exp>"exp":\d+)`,
		`(?P<past>"(?:held|waited)":\d+)`,
		`(?P<date>\b\d{4}-\d\d-\d\d\b)`,
		`(?P<clock>\b\d\d:\d\d:\d\d(?:\.\d+)?\b)`,
		`(?P<duration>\b[0-9][0-9a-zµ.]*s(?: ago| left))`,
		`(?P<lag>\bfollower {2,}\d+)`,
		`(?P<measured>\b\d+\.\d{3}\b)`,
		`(?P<pairs>\b(?:pairs/s:|smallest|mean|largest) \d+(?:\.\d+)?)`,
		`(?P<cell> {2,}[0-9][0-9a-zµ.]*s\b)`,
		`(?P<gap> {2,})`,
	}, "|"))
)

// command puts the versions that came, and the token, into a command of the
// page.
func (a *answers) command(text string) string {
	if a.token != "" {
		text = strings.ReplaceAll(text, "hf_…", a.token)
	}
	return aVersion.ReplaceAllStringFunc(text, func(v string) string {
		if came, ok := a.versions[v]; ok {
			return came
		}
		return v
	})
}

// compare says how the answer differs from the page's, or nothing.
func (a *answers) compare(page, got string) error {
	page, got = asSeen(page), asSeen(got)
	pattern := strings.Builder{}
	pattern.WriteString(`\A`)
	var shown []string // versions and exps of the page, one for each group
	at := 0
	for _, found := range varies.FindAllStringSubmatchIndex(page, -1) {
		pattern.WriteString(regexp.QuoteMeta(page[at:found[0]]))
		at = found[1]
		text := page[found[0]:found[1]]
		switch kindOf(found) {
		case "version":
			pattern.WriteString(`(\d{16})`)
			shown = append(shown, text)
		case "lines":
			if strings.HasPrefix(text, "\n") {
				pattern.WriteString(`(?s:\n.*?)?`)
			} else {
				pattern.WriteString(`(?s:.*?)`)
			}
		case "any":
			pattern.WriteString(`.*?`)
		case "exp":
			pattern.WriteString(`"exp":(\d+)`)
			shown = append(shown, strings.TrimPrefix(text, `"exp":`))
		case "past":
			pattern.WriteString(text[:strings.LastIndexByte(text, ':')] + `:\d+`)
		case "date":
			pattern.WriteString(`\d{4}-\d\d-\d\d`)
		case "clock":
			pattern.WriteString(`\d\d:\d\d:\d\d(?:\.\d+)?`)
		case "duration":
			pattern.WriteString(`[0-9][0-9a-zµ.]*s` + text[strings.LastIndexByte(text, ' '):])
		case "lag":
			pattern.WriteString(`follower {2,}\d+`)
		case "measured":
			pattern.WriteString(`\d+\.\d{3}`)
		case "pairs":
			pattern.WriteString(text[:strings.LastIndexByte(text, ' ')] + ` \d+(?:\.\d+)?`)
		case "cell":
			pattern.WriteString(` {2,}[0-9][0-9a-zµ.]*s`)
		case "gap":
			pattern.WriteString(` {2,}`)
		}
	}
	pattern.WriteString(regexp.QuoteMeta(page[at:]) + `\z`)
	came := regexp.MustCompile(pattern.String()).FindStringSubmatch(got)
	if came == nil {
		return fmt.Errorf("the page says:\n%s\nthe answer was:\n%s", a.command(page), got)
	}
	for i, shown := range shown {
		if err := a.agrees(shown, came[i+1]); err != nil {
			return fmt.Errorf("%w in:\n%s", err, got)
		}
	}
	if token := aToken.FindString(got); token != "" {
		a.token = token
	}
	return nil
}

var (
	aMeasure = regexp.MustCompile(`\bscript/(?:bench|figures)\b`)
	aFigure  = regexp.MustCompile(` +\(?\d+(?:\.\d+)?\b`)
)

// measured makes all figures the same in the answer to a command that measures.
func measured(command, answer string) string {
	if !aMeasure.MatchString(command) {
		return answer
	}
	return aFigure.ReplaceAllString(answer, "  0")
}

var notText = regexp.MustCompile(`\x1b\[[0-9;]*m|\r|[ \t]+(?m:$)`)

// asSeen takes away what a reader does not see.
func asSeen(text string) string {
	return strings.TrimRight(notText.ReplaceAllString(text, ""), "\n")
}

// kindOf gives the name of the alternative of varies that was found.
func kindOf(found []int) string {
	for i, name := range varies.SubexpNames() {
		if i > 0 && found[2*i] >= 0 {
			return name
		}
	}
	return ""
}

// agrees compares a version or an exp of the page with the one that came.
func (a *answers) agrees(shown, came string) error {
	if len(shown) < 16 {
		most, _ := strconv.Atoi(shown)
		most = (most + 999) / 1000 * 1000
		if left, err := strconv.Atoi(came); err != nil || left > most {
			return fmt.Errorf("%s ms is more than %d", came, most)
		}
		return nil
	}
	for other, otherCame := range a.versions {
		// All have as many digits, so that they compare as text.
		if strings.Compare(shown, other) != strings.Compare(came, otherCame) {
			return fmt.Errorf("%s is to %s as %s is to %s on the page, which is not so", came, otherCame, shown, other)
		}
	}
	a.versions[shown] = came
	return nil
}
