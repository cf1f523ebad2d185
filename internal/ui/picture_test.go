package ui_test

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"image/png"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"holdfast"
)

var pictures = flag.String("pictures", "", "directory into which TestPictures puts the pictures of the page")

// TestPictures shows the page with what a company could have in it. With
// -pictures it makes the pictures of the documentation, which takes a while:
// the lines of what happens need a past.
func TestPictures(t *testing.T) {
	s := serve(t, withCluster)
	tabs := map[string]*tab{
		"page.png":       s.browse(look{width: 1360, height: 1000}),
		"page-dark.png":  s.browse(look{width: 1360, height: 1000, dark: true}),
		"page-phone.png": s.browse(look{width: 390, height: 844}),
	}
	defer traffic(s)()
	pause(75 * time.Second)
	scene(s)
	pause(20 * time.Second)
	for name, p := range tabs {
		p.live().holds("invoice/2031", "billing-7")
		p.shows("waits", "mailer-2")
		p.shows("nodes", "n2")
		if *pictures == "" {
			continue
		}
		p.js(`document.getElementById("host").textContent = "localhost:3000"`)
		if name == "page-phone.png" {
			p.js(`document.getElementById("locks").scrollIntoView()`)
		}
		if err := os.WriteFile(filepath.Join(*pictures, name), squeezed(t, p.picture()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// pause lets time pass before a picture is taken.
func pause(d time.Duration) {
	if *pictures != "" {
		time.Sleep(d)
	}
}

// squeezed is a picture in as few bytes as Go can write it.
func squeezed(t *testing.T, picture []byte) []byte {
	decoded, err := png.Decode(bytes.NewReader(picture))
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	encoder := png.Encoder{CompressionLevel: png.BestCompression}
	if err := encoder.Encode(&out, decoded); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// scene is what there is to see.
func scene(s *site) {
	s.lockFor(95*time.Second, "billing-7", "monthly run", "invoice/2031", "customer/44")
	s.lockFor(40*time.Second, "backup-nightly", "pg_dump of orders", "db/orders")
	s.lockFor(8*time.Minute, "deploy-web-118", "rolling out 4.12.0", "deploy/web")
	s.lockFor(25*time.Minute, "reindex", "catalogue, 1.2 million items", "search/catalogue")
	for i, uid := range []string{"importer-1", "importer-2", "importer-3"} {
		s.share(uid, "quota/maps-api", 4, time.Duration(20+15*i)*time.Second)
	}
	s.lockFor(70*time.Second, "mailer-1", "", "mail/digest")
	s.lockFor(3*time.Minute, "ledger-close", "waits for the last invoices", "ledger/2026-11")
	s.waits("ledger-close", "needs the customer", "customer/44")
	s.waits("report-3", "quarterly report", "ledger/2026-11")
	s.lock("report-4", "", "report/q3")
	s.waits("report-4", "", "ledger/2026-11")
	s.waits("web-3", "refund", "invoice/2031")
	s.waits("web-9", "", "invoice/2031")
	s.waits("deploy-web-119", "rolling out 4.12.1", "deploy/web")
	s.waits("mailer-2", "", "mail/digest")
	s.waits("board-slides", "", "report/q3")
}

func (s *site) share(uid, key string, limit int, exp time.Duration) {
	s.t.Helper()
	err := s.post(s.t.Context(), "/lock", fields{"uid": uid, "keys": key, "mode": "shared", "limit": limit, "exp": exp.Milliseconds()}, nil)
	if err != nil {
		s.t.Fatal(err)
	}
}

// traffic has locks come and go, now more, now less, until stop.
func traffic(s *site) (stop func()) {
	ctx, cancel := context.WithCancel(s.t.Context())
	var done sync.WaitGroup
	done.Go(func() {
		for i := 0; ctx.Err() == nil; i++ {
			uid := fmt.Sprintf("resizer-%d", i%4)
			dies := i%300 == 50
			if dies {
				uid = fmt.Sprintf("resizer-%d", 100+i)
			}
			grant, err := s.store.Lock(ctx, holdfast.LockRequest{
				UID: uid, Keys: holdfast.Keys(fmt.Sprintf("thumbnail/%d", 7000+i)), Exp: 3 * time.Second,
			})
			if err != nil {
				return // the end of ctx
			}
			if i%3 == 0 {
				s.store.Extend(ctx, holdfast.ExtendRequest{UID: uid, Exp: 3 * time.Second})
			}
			ebb := 55 + 18*math.Sin(float64(i)/50) + 12*math.Sin(float64(i)/9) + 8*math.Sin(float64(i)/2.3)
			time.Sleep(time.Duration(ebb) * time.Millisecond)
			if !dies {
				s.store.Unlock(ctx, holdfast.UnlockRequest{UID: uid, Tokens: grant.Tokens})
			}
		}
	})
	return func() { cancel(); done.Wait() }
}

// withCluster answers /cluster as a node of three does.
func withCluster(next http.Handler) http.Handler {
	return answering(`{"cluster":"c","id":"n1","leader":"n1","term":3,"applied":128420,"nodes":[
		{"id":"n1","api":"http://10.0.0.1:3000","peer":"10.0.0.1:3001","role":"leader","lag":0},
		{"id":"n2","api":"http://10.0.0.2:3000","peer":"10.0.0.2:3001","role":"follower","lag":0},
		{"id":"n3","api":"http://10.0.0.3:3000","peer":"10.0.0.3:3001","role":"follower","lag":12}]}`)(next)
}

// answering answers /cluster with this.
func answering(cluster string) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/cluster" {
				next.ServeHTTP(w, r)
				return
			}
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprint(w, cluster)
		})
	}
}
