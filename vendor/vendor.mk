# Third-party libraries, one variant of them per call:
#   make -f vendor/vendor.mk VARIANT=musl|san|fuzz
# A make of its own, because the file lists exist only after vendor/fetch.

MAKEFLAGS += --no-builtin-rules
VENDOR := build/vendor
OUT    := $(VENDOR)/$(VARIANT)

CC_musl := musl-gcc
CC_san  := gcc
CC_fuzz := clang
CC      := $(CC_$(VARIANT))

SANITIZE := -fsanitize=address,undefined -fno-sanitize-recover=all \
            -fno-omit-frame-pointer
FLAGS_musl := -fPIE -ffunction-sections -fdata-sections \
              -fstack-protector-strong -fno-asynchronous-unwind-tables
FLAGS_san  := -O1 -g $(SANITIZE)
FLAGS_fuzz := -O1 -g $(SANITIZE) -fsanitize=fuzzer-no-link

# BearSSL must not choose its own entropy: the caller injects getentropy's.
BEARSSL_FLAGS := -DBR_RDRAND=0 -DBR_USE_URANDOM=0 \
                 -I$(VENDOR)/src/bearssl/src -I$(VENDOR)/src/bearssl/inc
# Its unaligned accesses are deliberate, and fatal under UBSan.
ifneq ($(VARIANT),musl)
BEARSSL_FLAGS += -DBR_LE_UNALIGNED=0 -DBR_BE_UNALIGNED=0
endif
# LMDB addresses a page's contents past the end of mp_ptrs[1], on 2-byte
# boundaries.
LMDB_FLAGS_san  := -fno-sanitize=alignment,bounds,object-size
LMDB_FLAGS_fuzz := $(LMDB_FLAGS_san)

BEARSSL_SRC := $(sort $(wildcard $(VENDOR)/src/bearssl/src/*.c \
                                 $(VENDOR)/src/bearssl/src/*/*.c))
LMDB_SRC    := $(addprefix $(VENDOR)/src/lmdb/libraries/liblmdb/,mdb.c midl.c)
CJSON_SRC   := $(VENDOR)/src/cjson/cJSON.c
objects = $(patsubst $(VENDOR)/src/%.c,$(OUT)/obj/%.o,$(1))

.PHONY: all
all: $(OUT)/libbearssl.a $(OUT)/liblmdb.a $(OUT)/libcjson.a

$(OUT)/libbearssl.a: $(call objects,$(BEARSSL_SRC))
$(OUT)/liblmdb.a: $(call objects,$(LMDB_SRC))
$(OUT)/libcjson.a: $(call objects,$(CJSON_SRC))
$(OUT)/lib%.a:
	@rm -f $@
	@ar rcsD $@ $^

# The binary has a size to keep. What is hot is RSA's arithmetic, SHA-256 where
# the processor has no instructions for it, and the curves of every login, for
# `make EC=bearssl`. The ciphers, intrinsics mostly, measured the same at -Os.
OPTIMIZE :=
ifeq ($(VARIANT),musl)
OPTIMIZE := -Os
$(OUT)/obj/bearssl/src/int/%.o \
$(OUT)/obj/bearssl/src/ec/ec_c25519_%.o \
$(OUT)/obj/bearssl/src/ec/ec_p256_%.o: OPTIMIZE = -O3
$(OUT)/obj/bearssl/src/hash/sha2small.o: OPTIMIZE = -O2
endif
$(OUT)/obj/bearssl/%.o: LIB_FLAGS = $(BEARSSL_FLAGS)
$(OUT)/obj/lmdb/%.o: LIB_FLAGS = $(LMDB_FLAGS_$(VARIANT))
$(OUT)/obj/%.o: $(VENDOR)/src/%.c vendor/vendor.mk $(VENDOR)/versions
	@mkdir -p $(@D)
	@$(CC) -std=gnu99 -w $(FLAGS_$(VARIANT)) \
	    "-ffile-prefix-map=$(CURDIR)/=" $(LIB_FLAGS) $(OPTIMIZE) -c -o $@ $<
