/* llm-tokenize.c - stdin to token ids, or ids to text, with any model's vocabulary. */
#include "tool.h"

#include <stdlib.h>

static void print_ids(const llm_tokenizer *tokenizer, const char *text, uint64_t size,
                      bool no_special)
{
    uint64_t count;
    llm_token *ids =
        tool_encode(tokenizer, text, size, no_special ? LLM_ENCODE_NO_SPECIAL : 0, &count);
    for (uint64_t i = 0; i < count; i++)
        printf("%s%d", i > 0 ? " " : "", (int)ids[i]);
    putchar('\n');
    free(ids);
}

static void print_text(const llm_tokenizer *tokenizer, const char *numbers, bool no_special)
{
    uint64_t count, size = 0;
    llm_token *ids = tool_ids(numbers, NULL, &count);
    uint32_t flags = no_special ? 0 : LLM_DECODE_SHOW_SPECIAL;
    int32_t rc = llm_tokenizer_decode(tokenizer, ids, count, flags, NULL, 0, &size);
    if (rc != LLM_E_BUFFER)
        tool_check(rc);
    char *text = malloc(size + 1);
    if (text == NULL)
        tool_fail("no memory for the text");
    tool_check(llm_tokenizer_decode(tokenizer, ids, count, flags, text, size, &size));
    fwrite(text, 1, size, stdout);
    free(text);
    free(ids);
}

int main(int argc, char **argv)
{
    static const char *path;
    static bool no_special, decode;
    const tool_option list[] = {
        {"--no-special", TOOL_FLAG, &no_special, NULL,
         "leave out the BOS, EOS, ... that the model's rules add", 0},
        {"--decode", TOOL_FLAG, &decode, NULL, "read ids and print their text", 0},
        {0},
    };
    const tool_program program = {
        "llm-tokenize",
        "MODEL [--no-special] [--decode] < INPUT",
        "Prints the token ids of what stands on stdin, byte for byte, on one line.\n"
        "Special tokens written in the text count as such. Works on files that hold only a "
        "vocabulary.",
        list,
        &path,
        1};
    tool_parse(&program, argc, argv);
    llm_runtime *runtime;
    llm_model *model;
    llm_tokenizer *tokenizer;
    llm_model_params mp = {.struct_size = sizeof mp, .load = LLM_LOAD_VOCAB};
    tool_check(llm_runtime_create(NULL, &runtime));
    tool_check(llm_model_open(runtime, path, &mp, &model));
    tool_check(llm_model_tokenizer(model, &tokenizer));
    uint64_t size;
    char *input = tool_read(stdin, "stdin", &size);
    if (decode)
        print_text(tokenizer, input, no_special);
    else
        print_ids(tokenizer, input, size, no_special);
    free(input);
    llm_tokenizer_release(tokenizer);
    llm_model_release(model);
    llm_runtime_destroy(runtime);
    tool_flush();
    return 0;
}
