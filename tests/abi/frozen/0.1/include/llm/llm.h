/* llm.h - all of libllm.
 *
 *   llm_status.h     codes and messages        llm_engine.h    what sessions share
 *   llm_version.h    what is loaded            llm_session.h   timelines: feed, next, fork, save
 *   llm_runtime.h    memory, log, devices      llm_sampler.h   from logits to tokens
 *   llm_model.h      files, plans, weights     llm_embed.h     texts to vectors
 *   llm_tokenizer.h  text and ids              llm_writer.h    making model files
 *   llm_types.h      shared types */
#ifndef LLM_H
#define LLM_H

#include <llm/llm_embed.h>
#include <llm/llm_engine.h>
#include <llm/llm_model.h>
#include <llm/llm_runtime.h>
#include <llm/llm_sampler.h>
#include <llm/llm_session.h>
#include <llm/llm_status.h>
#include <llm/llm_tokenizer.h>
#include <llm/llm_types.h>
#include <llm/llm_version.h>
#include <llm/llm_writer.h>

#endif
