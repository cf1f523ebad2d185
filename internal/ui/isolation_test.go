package ui_test

import (
	"fmt"
	"testing"

	"github.com/chromedp/chromedp/kb"
)

// inOrder says whether words of an element stand there from left to right.
const inOrder = `(selector, words) => [...document.querySelectorAll(selector)].some((element) => {
  const walker = document.createTreeWalker(element, NodeFilter.SHOW_TEXT);
  for (let node; (node = walker.nextNode()); ) {
    const at = node.data.indexOf(words);
    if (at < 0) continue;
    const lefts = Array.from(words, (_, i) => {
      const range = document.createRange();
      range.setStart(node, at + i);
      range.setEnd(node, at + i + 1);
      return range.getBoundingClientRect().left;
    });
    return lefts.every((left, i) => i === 0 || left > lefts[i - 1]);
  }
  return false;
})`

// A name that ends its own isolation, or its paragraph, and then runs the other way.
func TestANameTurnsNothingElseRound(t *testing.T) {
	t.Parallel()
	for _, escape := range []string{"\u2069\u202e", "\u2029\u202e", "\u2066\u2067", "\u202e"} {
		s := serve(t)
		key, uid := "k"+escape+"name", "u"+escape+"name"
		p := s.browse(desktop).live()
		s.lock(uid, "", key)
		s.waits("w"+uid, "", key)
		p.holds(key, uid)
		stands := func(selector, words string) {
			t.Helper()
			p.is(fmt.Sprintf("(%s)(%s, %s)", inOrder, quote(selector), quote(words)), "true")
		}
		stands("#waits .why", " s")
		stands("#waits .why", "for ")
		p.is(`[...document.querySelectorAll("#latest li")].length === 2 && [...document.querySelectorAll("#latest li")].every((li) => {
			const [key, uid] = [...li.querySelectorAll("bdi")].map((e) => e.getBoundingClientRect());
			return key.width > 20 && uid.width > 20 && (key.right <= uid.left || key.bottom <= uid.top); })`, "true")
		p.js(row(key) + `.querySelector(".release").click()`)
		stands("#force-facts", "1 request in line behind.")
		p.press("why", kb.Enter)
		stands("#toast", ", held by ")
	}
}
