"""llama.cpp's converter, run on a checkpoint whose made-up tokenizer has no fingerprint that it knows.

python benchmarks/peers/gguf.py LLAMA_CPP_FOLDER MODEL_FOLDER [options of convert_hf_to_gguf.py]
"""

import sys

if __name__ == "__main__":
    folder = sys.argv.pop(1)
    sys.path[:0] = [f"{folder}/gguf-py", folder]
    import conversion.base

    conversion.base.TextModel.get_vocab_base_pre = lambda _self, _tokenizer: "qwen2"
    import convert_hf_to_gguf

    sys.argv[0] = f"{folder}/convert_hf_to_gguf.py"
    convert_hf_to_gguf.main()
