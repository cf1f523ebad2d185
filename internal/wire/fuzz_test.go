package wire

import (
	"bytes"
	"reflect"
	"testing"

	"holdfast"
)

// Whatever is sent, decoding it does not panic, and a request that is
// accepted means the same after it was written and read again.
func FuzzDecode(f *testing.F) {
	for _, body := range []string{
		`{"uid":"u","keys":"a"}`,
		`{"uid":"u","keys":["a",{"key":"b","mode":"shared","limit":3}],"exp":1000,"wait":5,"note":"n"}`,
		`{"uid":"u","keys":["a"],"mode":"shared","limit":2}`,
		`{"uid":"u","tokens":[{"key":"a","version":17}]}`,
		`{"uid":"u","tokens":[],"exp":86400000}`,
		`{"keys":["\u00e9\ud83d\ude00","b"]}`,
		`{"keys":"a","uid":"u","wait":86400000,"exp":1,"note":"é"}`, `{"uid":"u","exp":0}`, `{"uid":"u","tokens":[{"key":"a","version":9007199254740992}]}`,
		`{"uid":"u","uid":"v"}`, `{"uid":`, `[[[[`, `{} {}`, "\xff", ``,
	} {
		f.Add([]byte(body))
	}
	const all = LockFields | UnlockFields | ExtendFields | CheckFields
	f.Fuzz(func(t *testing.T, body []byte) {
		sent := bytes.Clone(body)
		r, err := Decode(body, all)
		if !bytes.Equal(body, sent) {
			t.Fatal("the body was changed")
		}
		if careful, refused := decodeCarefully(body, all); (err == nil) != (refused == nil) || err == nil && !reflect.DeepEqual(r, careful) {
			t.Fatalf("quick   %+v, %v\ncareful %+v, %v", r, err, careful, refused)
		}
		if err != nil {
			if holdfast.ErrorCode(err) != holdfast.CodeInvalid {
				t.Fatalf("got %#v", err)
			}
			return
		}
		if req, err := r.Unlock(); err == nil {
			again(t, AppendUnlock(nil, req), req, decodeUnlock)
		}
		if req, err := r.Extend(); err == nil {
			again(t, AppendExtend(nil, req), req, decodeExtend)
		}
		if keys, err := r.Check(); err == nil {
			again(t, AppendCheck(nil, keys), keys, decodeCheck)
		}
		req, err := r.Lock()
		if err != nil {
			return
		}
		for _, ask := range req.Keys {
			// This a service refuses, and so there is no way to write it.
			if ask.Mode == holdfast.Exclusive && ask.Limit != 0 {
				return
			}
		}
		again(t, AppendLock(nil, req), req, decodeLock)
	})
}

func again[T any](t *testing.T, body []byte, want T, decode func(string) (T, error)) {
	t.Helper()
	got, err := decode(string(body))
	if err != nil {
		t.Fatalf("%s\n%v", body, err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("%s\ngot  %+v\nwant %+v", body, got, want)
	}
}
