# The few commands of Menlou. 门楼的几条命令。 `make` lists them.
CARGO   ?= cargo
PLUGINS := openid account wechat proxy
RELEASE := target/release

.PHONY: help build demo test bench fmt check tools

help:
	@echo 'make build   the gateway and its plugins: $(RELEASE)/menlou, $(RELEASE)/plugins/*.so   构建网关与插件'
	@echo 'make demo    build, start a simulated WeChat and the gateway, print the calls to try   启动演示'
	@echo 'make test    install what the tests need, check formatting, lints and docs, run every test 运行全部测试'
	@echo 'make bench   measure against bare hyper, side by side                                  性能测量'

# A pair that can be copied anywhere: the program, and the folder `plugins` beside it.
build:
	$(CARGO) build --release --locked -p menlou -p menlou-simulator $(addprefix -p menlou-,$(PLUGINS))
	@mkdir -p $(RELEASE)/plugins
	@set -e; for name in $(PLUGINS); do \
		cp -p $(RELEASE)/libmenlou_$$name.so $(RELEASE)/plugins/.$$name.so.new; \
		mv $(RELEASE)/plugins/.$$name.so.new $(RELEASE)/plugins/$$name.so; \
	done
	@echo 'built 已构建: $(RELEASE)/menlou  $(addprefix $(RELEASE)/plugins/,$(addsuffix .so,$(PLUGINS)))'

demo: build
	@tests/demo.sh $(RELEASE)

test: tools check
	$(CARGO) nextest run --workspace --locked
	$(CARGO) test --workspace --locked --doc

check:
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings
	RUSTDOCFLAGS=-Dwarnings $(CARGO) doc --package menlou-plugin --no-deps --locked

fmt:
	$(CARGO) fmt --all

# ARGS, such as --keep: see tests/benches/README.md.
bench: build
	$(CARGO) build --release --locked -p menlou-benches -p menlou-empty
	$(RELEASE)/menlou-benches $(ARGS)

# Servers that the tests start by themselves, and the test runner.
tools:
	@tests/tools.sh
