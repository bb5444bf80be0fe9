module perdure.test/linearizability

go 1.25.4

require (
	github.com/anishathalye/porcupine v1.3.1
	go.temporal.io/api v1.63.4
	google.golang.org/grpc v1.82.1
	google.golang.org/protobuf v1.36.11
	perdure.test/sdk v0.0.0
)

require (
	github.com/grpc-ecosystem/grpc-gateway/v2 v2.22.0 // indirect
	github.com/nexus-rpc/nexus-proto-annotations v0.1.0 // indirect
	golang.org/x/net v0.55.0 // indirect
	golang.org/x/sys v0.45.0 // indirect
	golang.org/x/text v0.37.0 // indirect
	google.golang.org/genproto/googleapis/api v0.0.0-20260414002931-afd174a4e478 // indirect
	google.golang.org/genproto/googleapis/rpc v0.0.0-20260414002931-afd174a4e478 // indirect
)

replace perdure.test/sdk => ../sdk/go
