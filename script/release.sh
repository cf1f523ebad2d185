#!/bin/sh
# Builds a release into dist: an archive for each platform, and their
# checksums.
#
#	script/release.sh VERSION LDFLAGS OS/ARCHITECTURE...
set -eu

version=$1
ldflags=$2
shift 2
cd "$(dirname "$0")/.."
rm -rf dist
mkdir dist
for platform; do
	os=${platform%/*}
	arch=${platform#*/}
	name=holdfast-$version-$os-$arch
	binary=holdfast
	[ "$os" != windows ] || binary=holdfast.exe
	echo "$name"
	CGO_ENABLED=0 GOOS=$os GOARCH=$arch \
		go build -trimpath -buildvcs=false -ldflags "$ldflags" -o "dist/$name/$binary" ./cmd/holdfast
	cp -R LICENSE .env.example README.md CHANGELOG.md SECURITY.md docs deploy "dist/$name"
	tar -C dist -czf "dist/$name.tar.gz" "$name"
	rm -r "dist/${name:?}"
done
cd dist
if command -v sha256sum >/dev/null; then
	sha256sum holdfast-*.tar.gz >SHA256SUMS
else
	shasum -a 256 holdfast-*.tar.gz >SHA256SUMS
fi
