# chatd in an image of one file. docker-compose.yml runs it with Redis and HAProxy.

FROM golang:1.26-bookworm AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY *.go ./
COPY cmd cmd
COPY internal internal
COPY static static
COPY templates templates
RUN CGO_ENABLED=0 go build -trimpath -ldflags="-s -w" -o chatd ./cmd/chatd

FROM scratch
# For rediss:// and a login provider.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /src/chatd /chatd
# Nobody: chatd owns no file and needs no right.
USER 65532:65532
ENV CHATD_ADDR=:8080 CHATD_ADMIN_ADDR=:9080 CHATD_LOG_FORMAT=json
EXPOSE 8080
# No HEALTHCHECK: there is no shell here to run one, and Docker would not act on it. HAProxy asks /readyz twice a second,
# and does.
ENTRYPOINT ["/chatd"]
