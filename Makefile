# `make run` is all that a fresh machine needs; `make` builds, `make test`
# and `make check` are in tests/tests.mk, the libraries in vendor/.

ifeq ($(MAKELEVEL)$(filter -j%,$(MAKEFLAGS)),0)
MAKEFLAGS += -j$(shell nproc)
endif
MAKEFLAGS += --no-builtin-rules
.DELETE_ON_ERROR:
.SECONDARY:
.PHONY: all run clean

# The sources, alphabetical. A new file is one word here.
BASE  := base64 buf civil digest error hex sha256 siphash sort wipe
PROTO := csv der http http_answer json json_write last_use log_line msg \
         prometheus proxy timestamp token utf8 uuid ws_frame ws_msg x509
SYS   := appender cert cert_load cert_make cert_pem clock committer entropy \
         file_io journal link log loop memory net notify passed process \
         sandbox_landlock sandbox_seccomp store store_ballast store_check \
         store_check_erase store_check_meta store_check_page store_check_tree \
         store_copy store_edit store_import store_read store_stage \
         store_verify timer tls tls_client user
APP   := audit certificate config conn listeners lobby metrics metrics_page \
         options peers pool serve server server_accept server_cert server_conns \
         server_review server_signals session upgrade
TOOLS := backup cert command compact counts export health import \
         import_faults import_input import_options import_progress \
         import_rejects import_row import_set import_stage main print restore \
         token token_add token_edit token_keys token_list token_show \
         token_view verify
ECHO  := tests/echo/echo
# `make EC=bearssl` takes BearSSL's elliptic curves instead of ours.
EC         := own
EC_own     := ec ec_p256 ec_p256_num ec_sign ec_x25519
EC_bearssl := ec_bearssl
BASE       += $(EC_$(EC))
# Newer than the binary when it was linked with the others.
$(shell mkdir -p build; [ "$$(cat build/ec 2>&1)" = $(EC) ] || echo $(EC) >build/ec)
SRC   := $(wildcard $(BASE:%=src/base/%.c) $(PROTO:%=src/proto/%.c) \
                    $(SYS:%=src/sys/%.c) $(APP:%=src/app/%.c) \
                    $(TOOLS:%=tools/%.c))
# What the echo server and the tests link: all but the program itself.
LIB_SRC := $(filter-out tools/main.c,$(SRC))
GEN_SRC := build/licenses.c
GEN_H   := build/licenses.h build/versions.h

WARN     := -Wall -Wextra -Wshadow -Wconversion
CPPFLAGS := -D_GNU_SOURCE -Isrc -I. -Ibuild -isystem build/vendor/include
OPTIMIZE  = -Os
CFLAGS   := -std=c11 -fPIE -ffunction-sections -fdata-sections \
            -fstack-protector-strong -fstack-clash-protection \
            -fno-asynchronous-unwind-tables \
            "-ffile-prefix-map=$(CURDIR)/=" $(WARN)

# `musl-gcc -static-pie` makes a dynamic PIE, so the start files are named.
ARCH    := $(shell uname -m)
MUSL    := /usr/lib/$(ARCH)-linux-musl
gcc_file = $(shell gcc -print-file-name=$(1))
LDFLAGS  = -nostdlib -static-pie -s -Wl,-z,relro,-z,now,-z,noexecstack \
           -Wl,--gc-sections,--build-id=none,--fatal-warnings \
           $(MUSL)/rcrt1.o $(MUSL)/crti.o $(call gcc_file,crtbeginS.o)
LDLIBS   = -Wl,--start-group $(MUSL)/libc.a $(call gcc_file,libgcc.a) \
           -Wl,--end-group $(call gcc_file,crtendS.o) $(MUSL)/crtn.o
vendor_libs = $(patsubst %,build/vendor/$(1)/lib%.a,bearssl cjson lmdb)
objects     = $(patsubst %.c,build/$(1)/%.o,$(2))

all: build/openchampps build/import

build/openchampps: $(call objects,obj,$(SRC) $(GEN_SRC))
build/echo: $(call objects,obj,$(ECHO).c $(LIB_SRC) $(GEN_SRC))
build/openchampps build/echo: Makefile build/ec $(call vendor_libs,musl)
	@echo "LINK  $@"
	@gcc -o $@ $(LDFLAGS) $(filter %.o,$^) $(filter %.a,$^) $(LDLIBS)

build/ec: ; # made above, while this is read

build/import: build/openchampps
	@ln -sf openchampps $@

# All is built small but what logins, imports and starts spend their time in.
FAST := $(basename $(wildcard src/base/*.c)) \
        $(addprefix src/proto/,csv json json_write msg timestamp token utf8 \
                               uuid ws_frame ws_msg) \
        $(addprefix src/sys/,committer store_check store_check_tree) \
        $(addprefix tools/,import_row import_set)
$(FAST:%=build/obj/%.o): OPTIMIZE = -O2
# A start checks thousands of pages of a large store; an import hashes each row.
build/obj/src/sys/store_check_page.o build/obj/src/base/sha256.o: OPTIMIZE = -O3

build/obj/%.o: %.c Makefile | $(GEN_H)
	@mkdir -p $(@D)
	@echo "CC    $<"
	@musl-gcc $(CPPFLAGS) $(CFLAGS) $(OPTIMIZE) -MD -MP -c -o $@ $<

# The libraries: fetched once, built once per variant.
PATCHES := $(sort $(wildcard vendor/patches/*.patch))
build/vendor/versions: vendor/fetch vendor/lock $(PATCHES)
	@vendor/fetch build/vendor

build/vendor/%/built: build/vendor/versions vendor/vendor.mk
	@echo "VENDOR $*"
	@$(MAKE) --no-print-directory -f vendor/vendor.mk VARIANT=$*
	@touch $@

# A rule for each: one pattern rule of several targets would make them all.
build/vendor/musl/%.a: build/vendor/musl/built ; @:
build/vendor/san/%.a: build/vendor/san/built ; @:
build/vendor/fuzz/%.a: build/vendor/fuzz/built ; @:

build/versions.h: vendor/versions build/vendor/versions
	@vendor/versions build/vendor/versions $(MUSL)/libc.so >$@

build/licenses.c: vendor/notices LICENSE build/vendor/versions
	@vendor/notices build/vendor/src >$@

build/licenses.h: vendor/notices
	@mkdir -p $(@D)
	@echo 'extern const char licenses_text[];' >$@

# Installs what is missing, builds, imports the sample once, serves.
define TRY
Try it from another terminal:
  curl --cacert data/tls/ca.pem https://localhost:8443/health
  SSL_CERT_FILE=data/tls/ca.pem python3 -m websockets wss://localhost:8443/ws
(the second is Debian's python3-websockets), then paste this line:
  {"type":"token_auth","payload":{"token":"550e8400-e29b-41d4-a716-446655440000"}}
The tokens are those of tools/sample.csv: samples, for trying only.

endef
export TRY

run:
	@tools/need run
	@$(MAKE) --no-print-directory all
	@mkdir -p -m 0700 data
	@[ -e data/store.mdb ] || build/import --data data tools/sample.csv
	@printf '%s\n' "$$TRY"
	@exec build/openchampps --data data

clean:
	rm -rf build

include tests/tests.mk
-include $(wildcard $(patsubst %.o,%.d,$(call objects,obj,$(SRC) $(ECHO).c)))
