// Package certs is about certificates: it makes of PEM files the
// configurations with which a server listens, a client asks, and the nodes of
// a cluster speak with each other; it goes on with files that are given anew;
// and it makes authorities and certificates for those who have none yet.
//
// Versions, ciphers and curves are those that crypto/tls takes by default, from
// TLS 1.2 on.
package certs
